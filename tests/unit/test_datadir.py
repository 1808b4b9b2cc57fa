"""Where the embedded database lives: one rule, and what stands in the way of a directory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.errors import EmbeddedServerError
from penstock.store.datadir import DataDir, find_data_dir, state_dir, why_not


def blocked(*paths: Path) -> Callable[[Path], str | None]:
    """An obstacle in these directories and in no other."""
    return lambda path: "Read-only file system" if path in paths else None


def find(cwd: Path, *obstacles: Path, named: Path | None = None, state: str = "/state") -> DataDir:
    environ = {"XDG_STATE_HOME": state}
    return find_data_dir(named, cwd=cwd, environ=environ, obstacle=blocked(*obstacles))


def test_it_lives_in_the_current_directory(tmp_path: Path) -> None:
    assert find(tmp_path) == DataDir(tmp_path / ".penstock")


def test_where_nothing_can_be_written_it_lives_in_the_state_directory_and_says_so() -> None:
    cwd = Path("/read-only/project")
    found = find(cwd, cwd / ".penstock")
    assert found.path == state_dir(cwd, {"XDG_STATE_HOME": "/state"})
    assert found.path.is_relative_to("/state/penstock")
    assert found.notice is not None
    assert str(found.path) in found.notice
    assert "Read-only file system" in found.notice


def test_a_database_in_the_state_directory_is_found_again(tmp_path: Path) -> None:
    cwd, state = tmp_path / "project", tmp_path / "state"
    first = find(cwd, cwd / ".penstock", state=str(state))
    (first.path / "data").mkdir(parents=True)
    again = find(cwd, state=str(state))  # the directory can be written by now
    assert again.path == first.path
    assert again.notice is not None


def test_a_database_in_the_directory_comes_before_one_in_the_state_directory(
    tmp_path: Path,
) -> None:
    cwd, state = tmp_path / "project", tmp_path / "state"
    (state_dir(cwd, {"XDG_STATE_HOME": str(state)}) / "data").mkdir(parents=True)
    (cwd / ".penstock" / "data").mkdir(parents=True)
    assert find(cwd, state=str(state)) == DataDir(cwd / ".penstock")


def test_an_unreachable_state_directory_does_not_matter_when_the_directory_will_do(
    tmp_path: Path,
) -> None:
    cwd, state = tmp_path / "project", tmp_path / "state"
    there = state_dir(cwd, {"XDG_STATE_HOME": str(state)})
    (there / "data").mkdir(parents=True)
    assert find(cwd, there, state=str(state)) == DataDir(cwd / ".penstock")


def test_directories_have_places_of_their_own() -> None:
    assert state_dir(Path("/a"), {}) != state_dir(Path("/b"), {})


@pytest.mark.parametrize("value", ["", "relative/state"])
def test_a_void_state_home_counts_as_none(value: str) -> None:
    found = state_dir(Path("/a"), {"XDG_STATE_HOME": value, "HOME": "/home/eve"})
    assert found.is_relative_to("/home/eve/.local/state/penstock")


def test_a_named_directory_is_relative_to_the_current_one() -> None:
    assert find(Path("/work"), named=Path("db")) == DataDir(Path("/work/db"))
    assert find(Path("/work"), named=Path("/db")) == DataDir(Path("/db"))


def test_a_named_directory_never_falls_back() -> None:
    with pytest.raises(EmbeddedServerError, match=r"(?s)/work/db.*Read-only.*--database"):
        find(Path("/work"), Path("/work/db"), named=Path("db"))


def test_nowhere_to_live_names_both_places() -> None:
    cwd = Path("/project")
    there = state_dir(cwd, {"XDG_STATE_HOME": "/state"})
    with pytest.raises(EmbeddedServerError) as raised:
        find(cwd, cwd / ".penstock", there)
    assert str(there) in str(raised.value)
    assert "/project/.penstock" in str(raised.value)
    assert "--data-dir" in str(raised.value)


def test_a_directory_that_will_do_is_made_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / ".penstock"
    assert why_not(path) is None
    assert path.stat().st_mode & 0o777 == 0o700
    assert list(path.iterdir()) == []


def test_a_file_in_its_place_is_an_obstacle(tmp_path: Path) -> None:
    (tmp_path / ".penstock").touch()
    assert why_not(tmp_path / ".penstock") == "File exists"


def test_a_directory_that_others_may_write_to_is_an_obstacle(tmp_path: Path) -> None:
    path = tmp_path / ".penstock"
    path.mkdir()
    path.chmod(0o770)
    assert "chmod go-w" in (why_not(path) or "")


def test_a_directory_of_somebody_else_is_an_obstacle() -> None:
    foreign = Path("/proc/1")  # of root; for root itself it cannot be written
    assert why_not(foreign) is not None
