"""Code of this machine on its way to the cluster: a function's module and what that imports.

Packed, it becomes a ConfigMap. Imports are read, not run. A package goes whole, with the data files
in it; of modules that lie beside the manifest only those that are imported go. What is found
nowhere here is taken to be in the worker image.
"""

from __future__ import annotations

import ast
import io
import os
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from penstock.cluster.staged import LARGEST, MOST_READ, Staged, config_map_of, size_of
from penstock.errors import InputError
from penstock.spec.job import BatchJob
from penstock.spec.names import CODE_ARCHIVE
from penstock.spec.processor import PythonProcessor

_WHERE = "spec.processor.python.entrypoint"
_OURS = "penstock"
_COMPILED = (".pyc", ".pyo")
_WHEN = (1980, 1, 1, 0, 0, 0)
"""Of every file in the archive, so that the same files are the same bytes."""


def stage_code(job: BatchJob, spec: Mapping[str, Any], base: Path) -> Staged | None:
    """The local code of a job; None when it has none, or says where it is.

    spec: that of the manifest as it is handed over. base: the manifest's folder. Raises InputError.
    """
    python = job.spec.processor.python
    if python is None or python.code_from is not None:
        return None
    files = code_files(python, base)
    if not files:
        return None
    size = sum(path.stat().st_size for path in files.values())
    data = _archive(files) if size <= MOST_READ else b""
    if size > MOST_READ or len(data) > LARGEST:
        raise InputError.at(_WHERE, _too_large(files, len(data) or size))
    config_map = config_map_of(job.name, "code", {CODE_ARCHIVE: data})
    reference = {"configMap": {"name": config_map["metadata"]["name"]}}
    processor = spec["processor"]
    changed = {**processor, "python": {**processor["python"], "codeFrom": reference}}
    told = f"{', '.join(_tops(files))} ({_count(files)}, {len(data):,} bytes packed)"
    return Staged(config_map, {"processor": changed}, told)


def code_files(python: PythonProcessor, base: Path) -> dict[str, Path]:
    """The files by their path below the manifest's folder; empty when the module is not there.

    Raises InputError when one of them is no Python.
    """
    named = [text.partition(":")[0] for text in (python.entrypoint, python.initializer) if text]
    left, seen, files = [_top(name) for name in named], set[str](), dict[str, Path]()
    while left:
        name = left.pop()
        if name in seen or name == _OURS:
            continue
        seen.add(name)
        for path in _module(base, name):
            files[path.relative_to(base).as_posix()] = path
            if path.suffix == ".py":
                left.extend(_imports(path, base))
    return dict(sorted(files.items()))


def _module(base: Path, name: str) -> list[Path]:
    """The files of a top-level module or package beside the manifest, as Python would find it."""
    folder, file = base / name, base / f"{name}.py"
    if (folder / "__init__.py").is_file():
        return list(_below(folder))
    if file.is_file():
        return [file]
    if name in sys.stdlib_module_names or not folder.is_dir():
        return []
    found = list(_below(folder))
    return found if any(path.suffix == ".py" for path in found) else []


def _below(folder: Path) -> Iterator[Path]:
    """All files in a package; hidden and compiled ones left out."""
    for where, folders, names in os.walk(folder):
        folders[:] = [one for one in folders if one != "__pycache__" and not one.startswith(".")]
        for name in names:
            path = Path(where, name)
            if not name.startswith(".") and path.suffix not in _COMPILED and path.is_file():
                yield path


def _imports(path: Path, base: Path) -> Iterator[str]:
    """The top-level modules that a module imports, wherever in it. Raises InputError."""
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        place = f"{path.relative_to(base)}{f':{line}' if line else ''}"
        reason = error.msg if isinstance(error, SyntaxError) else error
        raise InputError.at(_WHERE, f"{place} is no Python that can be read: {reason}") from error
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (_top(one.name) for one in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield _top(node.module)


def _archive(files: Mapping[str, Path]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in files.items():
            entry = zipfile.ZipInfo(name, _WHEN)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, path.read_bytes())
    return held.getvalue()


def _too_large(files: Mapping[str, Path], size: int) -> str:
    largest = max(files, key=lambda name: files[name].stat().st_size)
    return (
        f"{', '.join(_tops(files))}: {_count(files)} with {size_of(size)}, and a ConfigMap holds"
        f" {size_of(LARGEST)}; the largest is {largest}. Put the code into an image of your own and"
        " submit from a folder that has none of it"
    )


def _tops(files: Mapping[str, Path]) -> list[str]:
    """The modules and packages that the files belong to."""
    return list(dict.fromkeys(name.partition("/")[0] for name in files))


def _count(files: Mapping[str, Path]) -> str:
    return f"{len(files)} file{'s' if len(files) > 1 else ''}"


def _top(module: str) -> str:
    return module.partition(".")[0]
