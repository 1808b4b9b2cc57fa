"""From a manifest file to a `BatchJob`, or to every mistake in it at once.

    text ─► yaml_text (lines) ─► overrides ─► model (types) ─► validate (meaning) ─► BatchJob

Mistakes of type and of meaning are told together: what is wrong by type is mended on a copy, so
that the rest can still be checked for meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from penstock.errors import InputError, Mistake
from penstock.spec import yaml_text
from penstock.spec.job import API_VERSION, KIND, BatchJob
from penstock.spec.mistakes import in_words, path_text
from penstock.spec.overrides import Override, apply, parse_override
from penstock.spec.suggest import did_you_mean
from penstock.spec.validate import validate

_MENDING_ROUNDS = 4
_BOMS = (b"\xff\xfe", b"\xfe\xff")


def load(path: Path, overrides: Sequence[str] = ()) -> BatchJob:
    """The job in this file, changed by `--set` texts. Raises InputError with every mistake."""
    return load_written(path, overrides)[0]


def load_written(path: Path, overrides: Sequence[str] = ()) -> tuple[BatchJob, dict[str, Any]]:
    """The same, and the manifest as it is written, as plain JSON values with the changes made."""
    return _parse(_text(path), str(path), overrides)


def parse(text: str, where: str, overrides: Sequence[str] = ()) -> BatchJob:
    """The job in this text; `where` is what messages call it, usually the file's name.

    Raises InputError with every mistake, each as `job.yaml:12 spec.source.limit: …`.
    """
    return _parse(text, where, overrides)[0]


def _parse(text: str, where: str, overrides: Sequence[str]) -> tuple[BatchJob, dict[str, Any]]:
    changes = _changes(overrides)
    document = yaml_text.read(text, where)
    if not isinstance(document.value, dict):
        raise InputError.at(
            document.place(""), "not a BatchJob: wanted apiVersion, kind, metadata and spec"
        )
    _check_kind(document)
    data = apply(document.value, changes)
    job, mistakes = check(data)
    if mistakes:
        placed = [(_place(document, changes, mistake.where), mistake) for mistake in mistakes]
        placed.sort(key=lambda entry: document.line(entry[1].where))
        raise InputError([Mistake(place, mistake.message) for place, mistake in placed])
    assert job is not None
    return job, data


def check(data: Any) -> tuple[BatchJob | None, list[Mistake]]:
    """The job in plain JSON values, as the API server has it; or every mistake of type and, as far
    as they can be seen, of meaning, each with its path."""
    errors = _errors(data)
    if not errors:
        job = _validated(data)
        return job, validate(job)
    mistakes = [in_words(BatchJob, error) for error in errors]
    mended: list[str] = []
    for _ in range(_MENDING_ROUNDS):
        for error in errors:
            mended.append(path_text(error["loc"]))
            data = _mended(data, error["loc"], error["type"] == "missing")
        errors = _errors(data)
        if not errors:
            beyond = [
                mistake
                for mistake in validate(_validated(data))
                if not any(_touches(mistake.where, path) for path in mended)
            ]
            return None, mistakes + beyond
    return None, mistakes


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise InputError.at(str(path), f"there is no such file{_similar(path)}") from None
    except IsADirectoryError:
        raise InputError.at(str(path), "is a folder; wanted a manifest, a YAML file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "this cannot be the name of a file"
        raise InputError.at(str(path), f"cannot be read: {reason}") from None
    if raw.startswith(_BOMS):
        raise InputError.at(str(path), "is UTF-16; save it as UTF-8")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        byte = raw[error.start]
        message = f"not UTF-8 (byte 0x{byte:02x}); is it Windows-1252? Save it as UTF-8"
        raise InputError.at(f"{path}:{line}", message) from None


def _similar(path: Path) -> str:
    try:
        names = [one.name for one in path.parent.iterdir() if one.suffix in (".yaml", ".yml")]
    except (OSError, ValueError):
        return ""
    return did_you_mean(path.name, names)


def _changes(overrides: Sequence[str]) -> list[Override]:
    changes: list[Override] = []
    mistakes: list[Mistake] = []
    for text in overrides:
        try:
            changes.append(parse_override(text))
        except InputError as error:
            mistakes += error.mistakes
    if mistakes:
        raise InputError(mistakes)
    return changes


def _check_kind(document: yaml_text.Document) -> None:
    """Another kind of object gets this one message instead of a hundred about its fields."""
    kind, version = document.value.get("kind"), document.value.get("apiVersion")
    if isinstance(kind, str) and kind != KIND:
        hint = did_you_mean(kind, [KIND])
        raise InputError.at(document.place("kind"), f"wanted {KIND}, given {kind[:40]!r}{hint}")
    if isinstance(version, str) and version != API_VERSION:
        message = f"wanted {API_VERSION}, given {version[:40]!r}"
        raise InputError.at(document.place("apiVersion"), message)


def _place(document: yaml_text.Document, changes: Sequence[Override], path: str) -> str:
    """Where a mistake is: in the file, or in the `--set` that brought it in."""
    for change in reversed(changes):
        changed = path_text(change.path)
        if path == changed:
            return change.where
        if _lies_in(path, changed) or (_lies_in(changed, path) and not document.has(path)):
            return f"{change.where} ({path})"
    return document.place(path)


def _validated(data: Any) -> BatchJob:
    return BatchJob.model_validate(data, by_alias=True, by_name=False)


def _errors(data: Any) -> list[ErrorDetails]:
    try:
        _validated(data)
    except ValidationError as error:
        return error.errors(include_url=False)
    return []


def _mended(data: Any, path: Sequence[int | str], missing: bool) -> Any:
    """A copy without the wrong value, or with something in place of the missing one."""
    if isinstance(data, dict):
        step, rest = path[0], path[1:]
        if rest:
            return {**data, step: _mended(data.get(step), rest, missing)}
        others = {key: value for key, value in data.items() if key != step}
        return {**others, step: _filler(str(step))} if missing else others
    if isinstance(data, list) and isinstance(path[0], int):
        # An element stays in its place, so that the paths of the others still hold.
        inner = _mended(data[path[0]], path[1:], missing) if path[1:] else {}
        return [*data[: path[0]], inner, *data[path[0] + 1 :]]
    return data


def _filler(name: str) -> Any:
    """Something of the right type for a required field, as far as that is simple."""
    objects = {"source", "processor", "metadata", "spec", "secretKeyRef"}
    lists = {"items"}
    fixed = {"apiVersion": API_VERSION, "kind": KIND}
    return {} if name in objects else [] if name in lists else fixed.get(name, "x")


def _touches(one: str, other: str) -> bool:
    return _lies_in(one, other) or _lies_in(other, one)


def _lies_in(inner: str, outer: str) -> bool:
    """Whether a path is the other or a part of it."""
    return inner == outer or inner.startswith((f"{outer}.", f"{outer}["))
