"""How the distribution's packages get there: which programs count, and what apt-get's ends mean."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster import packages
from tests.cluster.binaries import cache, go_environment
from tests.cluster.elf import is_static
from tests.cluster.errors import ClusterError

LOAD, INTERPRETER = 1, 3


def program(bits: int, kinds: list[int], order: str = "<") -> bytes:
    """An ELF file without content, with segments of these kinds."""
    narrow = bits == 32
    size = 32 if narrow else 56
    head = b"\x7fELF" + bytes([1 if narrow else 2, 1 if order == "<" else 2, 1])
    addresses = "III" if narrow else "QQQ"
    rest = struct.pack(
        f"{order}HHI{addresses}IHHHHHH",
        *(2, 62, 1, 0, 64, 0, 0, 52 if narrow else 64, size, len(kinds), 0, 0, 0),
    )
    segments = b"".join(struct.pack(f"{order}I", kind).ljust(size, b"\0") for kind in kinds)
    return (head.ljust(16, b"\0") + rest).ljust(64, b"\0") + segments


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [32, 64])
def test_a_static_program_names_no_interpreter(bits: int, order: str, tmp_path: Path) -> None:
    file = tmp_path / "program"
    file.write_bytes(program(bits, [LOAD, LOAD], order))
    assert is_static(file)
    file.write_bytes(program(bits, [LOAD, INTERPRETER], order))
    assert not is_static(file)


def test_a_script_is_no_static_program(tmp_path: Path) -> None:
    file = tmp_path / "program"
    for content in (b"#!/bin/sh\n", b"", b"#!/bin/sh\n".ljust(100)):
        file.write_bytes(content)
        assert not is_static(file)


def test_the_shell_of_a_machine_is_linked_to_libraries() -> None:
    assert not is_static(Path("/bin/sh"))


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, bytes], Path]:
    """Puts a program into a folder of its own that comes first on PATH."""

    def put(name: str, content: bytes) -> Path:
        folder = tmp_path / f"bin{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        return folder / name

    return put


def test_only_a_static_busybox_counts(put: Callable[[str, bytes], Path]) -> None:
    static = put("busybox", program(64, [LOAD]))
    put("busybox", program(64, [INTERPRETER, LOAD]))
    assert packages.which("busybox") == str(static)
    linked = put("containerd", program(64, [INTERPRETER, LOAD]))
    assert packages.which("containerd") == str(linked)


def test_lists_that_are_there_may_do(put: Callable[[str, bytes], Path]) -> None:
    put("apt-get", b'#!/bin/sh\ncase "$*" in *update*) exit 100 ;; esac\n')
    packages.ensure({"no-such-program": "some-package"})


def test_a_failure_shows_both_what_update_and_install_said(
    put: Callable[[str, bytes], Path],
) -> None:
    put(
        "apt-get",
        b'#!/bin/sh\ncase "$*" in\n'
        b"*update*) echo W: the mirror does not answer >&2 ;;\n"
        b"*) echo E: Unable to locate package some-package >&2; exit 100 ;;\nesac\n",
    )
    with pytest.raises(ClusterError) as raised:
        packages.ensure({"no-such-program": "some-package"})
    said = str(raised.value)
    assert "`apt-get install some-package` failed" in said
    assert "Unable to locate package" in said
    assert "the mirror does not answer" in said


def test_another_update_that_is_under_way_is_waited_for(
    put: Callable[[str, bytes], Path], tmp_path: Path
) -> None:
    calls = tmp_path / "calls"
    locked = f"[ $(wc -l < {calls}) -gt 1 ] || {{ echo E: Could not get lock >&2; exit 100; }}"
    put("apt-get", f'#!/bin/sh\necho "$*" >> {calls}\n{locked}\n'.encode())
    packages.ensure({"no-such-program": "some-package"})
    said = calls.read_text().splitlines()
    assert [line.endswith("update") for line in said] == [True, True, False]
    assert all("DPkg::Lock::Timeout=" in line for line in said)


def test_go_is_told_where_its_caches_are_when_there_is_no_home() -> None:
    assert not {"GOCACHE", "GOPATH"} & set(go_environment({"HOME": "/home/eve"}))
    told = go_environment({"GOPATH": "/go"})
    assert told["GOPATH"] == "/go"
    assert Path(told["GOCACHE"]).is_relative_to(cache())


@pytest.mark.parametrize("home", [None, ""])
def test_the_cache_needs_no_home(home: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    found = cache()
    assert found.is_absolute()
    if home is not None:
        monkeypatch.setenv("HOME", home)
    assert cache() == found
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert cache() == Path("/cache/penstock/cluster")
