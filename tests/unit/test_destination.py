"""Where results go is settled before anything is paid for."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock import jsons
from penstock.errors import InputError
from penstock.export.destination import destination
from penstock.export.to_file import input_test
from penstock.spec.job import BatchJob


def job(source: str, output: str, **more: str) -> BatchJob:
    return BatchJob.model_validate(
        {
            "apiVersion": "penstock.dev/v1alpha1",
            "kind": "BatchJob",
            "metadata": {"name": "job"},
            "spec": {
                "source": {"file": {"path": source}, **more},
                "processor": {"http": {"url": "http://127.0.0.1:1/"}},
                "output": {"file": {"path": output}},
            },
        }
    )


async def checked(of: BatchJob, directory: Path, option: Path | None = None) -> str:
    target = destination(of, directory, option)
    assert target is not None
    await target.check()
    return target.name


@pytest.mark.parametrize("source", ["d.csv", "*.csv", "./d.csv"])
async def test_results_never_replace_the_input(tmp_path: Path, source: str) -> None:
    (tmp_path / "d.csv").write_text("id\n1\n")
    (tmp_path / "link.csv").symlink_to(tmp_path / "d.csv")
    for output in ("d.csv", "link.csv"):
        with pytest.raises(InputError, match="is the input"):
            await checked(job(source, output), tmp_path)
    with pytest.raises(InputError, match=r"--output: .* is the input"):
        await checked(job(source, "out.csv"), tmp_path, tmp_path / "d.csv")


def test_which_files_are_the_input_is_looked_up_once(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text("id\n1\n")
    (tmp_path / "other name").hardlink_to(tmp_path / "b.csv")
    is_input = input_test(job("*.csv", "x"), tmp_path)
    assert is_input(tmp_path / "a.csv")
    (tmp_path / "b.csv").unlink()  # who listed the folder again would not find it
    assert is_input(tmp_path / "other name")
    assert not is_input(tmp_path / "b.csv")


async def test_another_file_is_fine_also_when_the_input_is_gone(tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("old results")
    assert await checked(job("d.csv", "out.csv"), tmp_path) == str(tmp_path / "out.csv")


@pytest.mark.parametrize("text", ["1e400", '{"n": -1E+999}', "[1e309]"])
def test_a_number_too_large_for_json_readers_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="too large"):
        jsons.loads(text)
    assert jsons.loads('{"n": 1e300, "code": "E123"}') == {"n": 1e300, "code": "E123"}


@pytest.mark.parametrize("inside", ["docs/out.csv", "docs/sub/out.csv"])
async def test_results_are_no_item_of_the_next_run(tmp_path: Path, inside: str) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/a.pdf").touch()
    with pytest.raises(InputError, match="among the next run's items"):
        await checked(job("docs", inside, format="files"), tmp_path)
    await checked(job("docs/*.pdf", inside, format="files"), tmp_path)


@pytest.mark.parametrize(
    "text",
    ["12345678901234567890", "[-12345678901234567890]", '{"a":{"b":[18446744073709551616]}}'],
)
def test_long_numbers_stay_as_they_are(text: str) -> None:
    assert jsons.dumps(jsons.loads(text)) == text


def test_many_digits_behind_the_point_are_as_precise_as_a_number_can_be() -> None:
    assert jsons.loads("0.12345678901234567890123") == 0.12345678901234567890123
