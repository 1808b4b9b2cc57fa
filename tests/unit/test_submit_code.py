"""Local code on its way to a cluster: which files go along, and what pods make of them."""

from __future__ import annotations

import base64
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from penstock.cluster.code import code_files, stage_code
from penstock.cluster.staged import LARGEST, Staged
from penstock.errors import InputError
from penstock.pods.code import unpack_code
from penstock.spec.job import BatchJob
from penstock.spec.processor import PythonProcessor


def spec(**python: Any) -> dict[str, Any]:
    return {
        "source": {"inline": {"items": [1]}},
        "processor": {"python": {"entrypoint": "convert:run", **python}},
    }


def staged(base: Path, **python: Any) -> Staged | None:
    given = spec(**python)
    job = BatchJob.model_validate(
        {
            "apiVersion": "penstock.dev/v1alpha1",
            "kind": "BatchJob",
            "metadata": {"name": "pages"},
            "spec": given,
        }
    )
    return stage_code(job, given, base)


def names(base: Path, entrypoint: str = "convert:run", **python: Any) -> list[str]:
    return list(code_files(PythonProcessor(entrypoint=entrypoint, **python), base))


def write(base: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


FILES = {
    "convert.py": "import json, helpers\nfrom parts.pages import split\n",
    "helpers.py": "def f():\n    import late\n",
    "late.py": "from penstock import Permanent\nimport convert\n",
    "unused.py": "import helpers\n",
    "models.py": "",
    "parts/__init__.py": "from . import pages\n",
    "parts/pages.py": "import numpy\n",
    "parts/deep/words.txt": "a b c\n",
    "parts/.hidden": "x",
    "parts/__pycache__/pages.cpython-311.pyc": "x",
    "json/readme.txt": "not a module",
    "penstock/__init__.py": "raise SystemExit\n",
    "secrets.env": "KEY=1",
}


def test_what_is_imported_goes_along(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    assert names(tmp_path) == [
        "convert.py", "helpers.py", "late.py",
        "parts/__init__.py", "parts/deep/words.txt", "parts/pages.py",
    ]  # fmt: skip
    assert names(tmp_path, "parts.pages:split", initializer="models:load") == [
        "models.py", "parts/__init__.py", "parts/deep/words.txt", "parts/pages.py",
    ]  # fmt: skip


def test_a_folder_of_modules_is_a_package_unless_python_has_one(tmp_path: Path) -> None:
    write(tmp_path, {"jobs/convert.py": "import email.message\n", "email/message.py": ""})
    assert names(tmp_path, "jobs.convert:run") == ["jobs/convert.py"]


def test_what_is_not_here_is_in_the_image(tmp_path: Path) -> None:
    write(tmp_path, {"other.py": ""})
    assert names(tmp_path) == []
    assert staged(tmp_path) is None


def test_code_that_is_said_to_be_elsewhere_stays(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    assert staged(tmp_path, codeFrom={"configMap": {"name": "mine"}}) is None


def test_a_module_that_does_not_parse_is_told_before(tmp_path: Path) -> None:
    write(tmp_path, {"convert.py": "import helpers\n", "helpers.py": "x = 1\ndef f(:\n"})
    with pytest.raises(InputError, match=r"entrypoint: helpers.py:2 is no Python .* invalid syn"):
        staged(tmp_path)


def test_the_pod_has_the_same_modules(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    write(
        tmp_path,
        {
            "convert.py": "from parts.pages import split\ndef run(item):\n    return split(item)\n",
            "parts/pages.py": (
                "from pathlib import Path\n"
                "def split(item):\n"
                "    words = Path(__file__).with_name('deep') / 'words.txt'\n"
                "    return [item, words.read_text().split()]\n"
            ),
        },
    )
    found = staged(tmp_path)
    assert found is not None
    assert found.name.startswith("pages-code-")
    assert found.told.startswith("convert.py, parts (4 files, ")
    python = found.changes["processor"]["python"]
    assert python == {"entrypoint": "convert:run", "codeFrom": {"configMap": {"name": found.name}}}
    again = staged(tmp_path)
    assert again is not None
    assert again.config_map == found.config_map

    mount = tmp_path / "mount"
    mount.mkdir()
    for key, data in found.config_map["binaryData"].items():
        (mount / key).write_bytes(base64.b64decode(data))
    environ = {"PENSTOCK_CODE": str(mount)}
    unpack_code(environ)
    assert environ["PENSTOCK_CODE"] != str(mount)
    folder = environ["PENSTOCK_CODE"]
    script = f"import sys; sys.path.insert(0, {folder!r}); import convert; print(convert.run(1))"
    command = [sys.executable, "-I", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "[1, ['a', 'b', 'c']]\n"

    write(tmp_path, {"parts/deep/words.txt": "d\n"})
    changed = staged(tmp_path)
    assert changed is not None
    assert changed.name != found.name


def test_modules_by_themselves_are_used_where_they_are(tmp_path: Path) -> None:
    write(tmp_path, {"convert.py": ""})
    environ = {"PENSTOCK_CODE": str(tmp_path)}
    unpack_code(environ)
    assert environ == {"PENSTOCK_CODE": str(tmp_path)}
    nothing: dict[str, str] = {}
    unpack_code(nothing)
    assert nothing == {}


def test_an_archive_that_is_none_is_bad_input(tmp_path: Path) -> None:
    write(tmp_path, {"code.zip": "not packed"})
    with pytest.raises(InputError, match=r"codeFrom: code.zip cannot be unpacked"):
        unpack_code({"PENSTOCK_CODE": str(tmp_path)})


def test_code_that_is_too_large_needs_an_image(tmp_path: Path) -> None:
    write(tmp_path, {"convert/__init__.py": "", "convert/words.txt": ""})
    (tmp_path / "convert" / "model.bin").write_bytes(random.Random(1).randbytes(LARGEST + 1))
    with pytest.raises(InputError, match=r"largest is convert/model.bin. Put .* image of your own"):
        staged(tmp_path)
    with (tmp_path / "convert" / "model.bin").open("wb") as file:
        file.truncate(100 << 20)
    with pytest.raises(InputError, match=r"100.0 MiB"):
        staged(tmp_path)
