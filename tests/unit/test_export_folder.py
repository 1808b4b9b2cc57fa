"""One file an item in a folder: what cannot be written is told before the first file is."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import pytest

from penstock.errors import ExportError, InputError
from penstock.export.rows import ExportRow
from penstock.export.to_file import part_test
from penstock.export.to_folder import ToFolder
from penstock.spec.load import parse


async def rows_of(*ids: str) -> AsyncIterator[Sequence[ExportRow]]:
    for n, id in enumerate(ids):
        yield [ExportRow(n, id, "succeeded", 1, None, {}, f"text of {id}")]


def into(folder: Path, template: str = "out/{{ id }}") -> ToFolder:
    return ToFolder(folder, template, is_input=lambda _: False, is_part=lambda _: False)


async def written(target: ToFolder, *ids: str) -> int:
    return await target.write_rows(rows_of(*ids), print)


def everything(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another disk."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        other = Path(folder)
        assert other.stat().st_dev != tmp_path.stat().st_dev
        yield other


def a_folder(place: Path) -> None:
    place.mkdir(parents=True)


def a_file_above(place: Path) -> None:
    place.parent.parent.mkdir()
    place.parent.touch()


def a_link_beside(place: Path) -> None:
    place.parent.mkdir(parents=True)
    place.symlink_to(place.parent / "first")


def nothing(_: Path) -> None:
    return


@pytest.mark.parametrize(
    ("id", "there", "said"),
    [
        ("sub/x", a_folder, "it is a folder"),
        ("sub/x", a_file_above, "sub is a file, not a folder"),
        ("sub/x", a_link_beside, "is a link to what may be another item's file"),
        ("sub/" + "ä" * 128, nothing, "has a part of more than 255 bytes"),
        ("/".join(["x" * 200] * 21), nothing, "is longer than 4,095 bytes with its folder"),
        ("first/x", nothing, "is below the file of the item at position 0"),
    ],
)
async def test_what_cannot_be_written_is_told_before_the_first_file(
    tmp_path: Path, id: str, there: Callable[[Path], None], said: str
) -> None:
    there(tmp_path / "out" / id)
    before = everything(tmp_path)
    with pytest.raises(ExportError, match=said):
        await written(into(tmp_path), "first", id)
    assert everything(tmp_path) == before


async def test_the_longest_names_there_are_can_be_written(tmp_path: Path) -> None:
    assert await written(into(tmp_path), "ä" * 127, "x" * 255) == 2


async def test_the_folder_of_all_files_is_what_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(InputError, match=r"perItem: .*out is a file, not a folder"):
        await into(tmp_path).check()
    await into(tmp_path, "other/{{ id }}").check()


@pytest.mark.parametrize("at", ["out", "out/sub"])
async def test_a_folder_may_be_on_another_disk(tmp_path: Path, elsewhere: Path, at: str) -> None:
    (tmp_path / at).parent.mkdir(exist_ok=True)
    (tmp_path / at).symlink_to(elsewhere)
    assert await written(into(tmp_path), "a", "sub/b", "sub/c") == 3
    assert (tmp_path / "out/sub/c").read_text() == "text of sub/c"
    names = [place.name for place in everything(tmp_path) + everything(elsewhere)]
    assert not [name for name in names if name.startswith(".")]


async def test_a_link_stays_one_and_what_it_points_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "kept").write_text("old")
    (tmp_path / "out/a").symlink_to(tmp_path / "kept")
    (tmp_path / "out/round").symlink_to("round")
    assert await written(into(tmp_path), "a", "b") == 2
    assert (tmp_path / "out/a").is_symlink()
    assert (tmp_path / "kept").read_text() == "text of a"
    with pytest.raises(ExportError, match="'out/round' is a link"):
        await written(into(tmp_path), "round")


def test_what_a_job_is_made_of_is_no_place_for_results(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for name in ("job.yaml", "helper.py", "mine/page.py"):
        (tmp_path / name).write_text("apiVersion: penstock.dev/v1alpha1\n")
    (tmp_path / "other.yaml").write_text("a: 1\n")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "made.py").write_text("x = 1\n")
    job = parse(
        "{apiVersion: penstock.dev/v1alpha1, kind: BatchJob, metadata: {name: a}, spec: {"
        "source: {inline: {items: [1]}}, processor: {python: {entrypoint: 'mine.page:work'}}}}",
        "job.yaml",
    )
    is_part = part_test(job, tmp_path)
    made_of = ["job.yaml", "helper.py", "mine/page.py"]
    assert all(is_part(tmp_path / name) for name in made_of)
    others = ["other.yaml", "out/made.py", "new.py"]
    assert not any(is_part(tmp_path / name) for name in others)
    target = ToFolder(tmp_path, "{{ id }}", lambda _: False, is_part)
    assert "the job is made of" in target.problem("helper.py")
