"""Results of a cluster that come to this machine: where they are put, what is looked at before."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from penstock.cluster.here import check, put_here
from penstock.errors import ExportError, InputError
from penstock.export.rows import ExportRow
from penstock.export.spool import parked
from penstock.export.to_folder import ToFolder
from penstock.spec.job import BatchJob

MOUNTED = {
    "spec": {"containers": [{"volumeMounts": [{"name": "data", "mountPath": "/data"}]}]},
}


def no(_: Path) -> bool:
    """Neither an input nor a part of the job."""
    return False


def job(output: dict[str, Any] | None, **spec: Any) -> BatchJob:
    return BatchJob.model_validate(
        {
            "apiVersion": "penstock.dev/v1alpha1",
            "kind": "BatchJob",
            "metadata": {"name": "job"},
            "spec": {
                "source": {"inline": {"items": ["a", "b", "c"]}},
                "processor": {"http": {"url": "http://p/"}},
                **spec,
                **({"output": output} if output else {}),
            },
        }
    )


def row(position: int, output: Any, status: str = "succeeded") -> ExportRow:
    return ExportRow(position, f"id-{position}", status, 1, None, {"n": position}, output)


async def once(*chunks: Sequence[ExportRow]) -> AsyncIterator[Sequence[ExportRow]]:
    for chunk in chunks:
        yield chunk


def written(folder: Path) -> dict[str, bytes]:
    return {
        one.relative_to(folder).as_posix(): one.read_bytes()
        for one in folder.rglob("*")
        if one.is_file()
    }


@pytest.mark.parametrize(
    ("output", "place"),
    [
        (None, None),
        ({"file": {"path": "out.csv"}}, "here/out.csv"),
        ({"perItem": "out/{{ id }}"}, "here/out/{{ id }}"),
        ({"perItem": "{{ id }}", "file": {"path": "texts"}}, "here/texts/{{ id }}"),
        ({"perItem": "{{ id }}", "file": {"path": "/data/texts"}}, None),
        ({"perItem": "{{ id }}", "objectStore": {"url": "s3://bucket/out"}}, None),
        ({"objectStore": {"url": "s3://bucket/out.csv"}}, None),
    ],
)
def test_what_no_pod_writes_comes_here(output: dict[str, Any] | None, place: str | None) -> None:
    of = job(output, template=MOUNTED)
    here = put_here(of, Path("here"), None)
    assert (here and here.name) == place
    option = put_here(of, Path("here"), Path("/tmp/all.jsonl"))
    assert option is not None
    assert option.name == "/tmp/all.jsonl"


async def test_paths_are_looked_at_where_the_items_are_on_this_machine(tmp_path: Path) -> None:
    template = "{{ item | replace('b', 'a') }}.txt"
    (tmp_path / "items.jsonl").write_text('"a"\n"b"\n')
    for source in ({"inline": {"items": ["a", "b"]}}, {"file": {"path": "items.jsonl"}}):
        of = job({"perItem": template}, source=source)
        here = put_here(of, tmp_path, None)
        assert here is not None
        with pytest.raises(InputError, match="position 0"):
            await check(here, of, tmp_path, mounted=False)
        if "file" in source:  # of items that are in the pods nothing is known here
            await check(here, of, tmp_path, mounted=True)


async def test_rows_that_come_once_become_the_files_of_items(tmp_path: Path) -> None:
    target = ToFolder(tmp_path / "out", "{{ position }}/{{ output | length }}.txt", no, no)
    rows = once([row(0, "text"), row(1, None, "failed")], [row(2, [1, "ä"], "skipped")])
    assert await target.write_rows(rows, print) == 2
    assert written(tmp_path) == {
        "out/0/4.txt": b"text",
        "out/2/2.txt": '[1,"ä"]\n'.encode(),
    }


async def test_no_file_is_written_when_a_path_will_not_do(tmp_path: Path) -> None:
    target = ToFolder(tmp_path / "out", "{{ output }}", no, no)
    with pytest.raises(ExportError, match=r"item 'id-1': 'a' is that of the item at position 0"):
        await target.write_rows(once([row(0, "a")], [row(1, "a")]), print)
    assert written(tmp_path) == {}


async def test_parked_rows_can_be_read_from_the_first_at_any_time() -> None:
    rows = [row(position, "x" * 1000) for position in range(3000)]
    async with parked(once(rows[:10], rows[10:])) as every:
        async for chunk in every():
            assert chunk[0] == rows[0]
            break
        for _ in range(2):
            assert [one async for chunk in every() for one in chunk] == rows
