"""Local data on its way to a cluster: what becomes a ConfigMap, what stays, what is refused."""

from __future__ import annotations

import base64
import gzip
import json
import random
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from penstock.cluster.mounts import is_mounted
from penstock.cluster.staged import LARGEST, Staged
from penstock.cluster.staging import MOST_FILES, stage
from penstock.errors import InputError
from penstock.sources.items import read_items
from penstock.spec.job import BatchJob
from penstock.spec.source import FileSource

VOLUME = {"spec": {"containers": [{"volumeMounts": [{"name": "d", "mountPath": "/data"}]}]}}


def job(source: dict[str, Any], **spec: Any) -> BatchJob:
    return BatchJob.model_validate(
        {
            "apiVersion": "penstock.dev/v1alpha1",
            "kind": "BatchJob",
            "metadata": {"name": "products"},
            "spec": {"source": source, "processor": {"http": {"url": "http://p"}}, **spec},
        }
    )


def staged(source: dict[str, Any], base: Path, **spec: Any) -> Staged:
    found = stage(job(source, **spec), {"source": source, **spec}, base, mounted=False)
    assert found is not None
    return found


def content(found: Staged) -> bytes:
    """What the pod finds under the key that the source names."""
    reference = found.changes["source"]["configMap"]
    key = reference["key"]
    assert reference["name"] == found.name
    text = found.config_map.get("data", {}).get(key)
    return text.encode() if text is not None else base64.b64decode(
        found.config_map["binaryData"][key]
    )  # fmt: skip


def test_a_small_file_goes_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "products.csv").write_bytes("sku,title\r\n1,Größe\r\n".encode())
    source = {"file": {"path": "products.csv"}, "idField": "sku", "csv": {"delimiter": ","}}
    found = staged(source, tmp_path)
    assert content(found) == (tmp_path / "products.csv").read_bytes()
    assert found.changes["source"] == {
        "idField": "sku",
        "csv": {"delimiter": ","},
        "configMap": {"name": found.name, "key": "products.csv"},
    }
    assert found.config_map["immutable"] is True
    assert found.name.startswith("products-source-")


def test_the_name_tells_the_content(tmp_path: Path) -> None:
    data = tmp_path / "a.jsonl"
    data.write_text('{"a": 1}\n')
    source = {"file": {"path": "a.jsonl"}}
    first = staged(source, tmp_path).name
    assert staged(source, tmp_path).name == first
    data.write_text('{"a": 2}\n')
    assert staged(source, tmp_path).name != first


@pytest.mark.parametrize(
    ("name", "key"),
    [("Überblick März.jsonl", "-berblick-M-rz.jsonl"), ("a b.jsonl", "a-b.jsonl")],
)
def test_file_names_become_keys(tmp_path: Path, name: str, key: str) -> None:
    (tmp_path / name).write_text('{"a": 1}\n')
    assert staged({"file": {"path": name}}, tmp_path).changes["source"]["configMap"]["key"] == key


def test_workbooks_and_other_encodings_go_as_bytes(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.create_sheet("items", 0)
    sheet.append(["a"])
    sheet.append([1])
    book.save(tmp_path / "a.xlsx")
    book.close()
    found = staged({"file": {"path": "a.xlsx"}}, tmp_path)
    assert content(found) == (tmp_path / "a.xlsx").read_bytes()
    assert "data" not in found.config_map
    (tmp_path / "a.csv").write_bytes("name\nGröße\n".encode("cp1252"))
    found = staged({"file": {"path": "a.csv"}, "csv": {"encoding": "cp1252"}}, tmp_path)
    assert content(found) == (tmp_path / "a.csv").read_bytes()


def test_what_packing_makes_small_enough_is_packed(tmp_path: Path) -> None:
    data = b'{"text": "again and again"}\n' * (LARGEST // 10)
    (tmp_path / "big.jsonl").write_bytes(data)
    found = staged({"file": {"path": "big.jsonl"}}, tmp_path)
    assert found.changes["source"]["configMap"]["key"] == "big.jsonl.gz"
    assert gzip.decompress(content(found)) == data
    assert len(content(found)) <= LARGEST


def test_what_is_too_large_is_refused_with_the_ways_there_are(tmp_path: Path) -> None:
    noise = random.Random(1).randbytes(LARGEST).hex()
    (tmp_path / "big.jsonl").write_text(json.dumps(noise) + "\n")
    source = {"file": {"path": "big.jsonl"}}
    with pytest.raises(InputError, match=r"1.8 MiB, and a ConfigMap holds 900 KiB.*--mounted"):
        stage(job(source), {"source": source}, tmp_path, mounted=False)


def test_a_hundred_megabytes_are_not_even_read(tmp_path: Path) -> None:
    with (tmp_path / "big.jsonl").open("wb") as file:
        file.write(b'{"a": 1}\n')
        file.truncate(100 << 20)
    source = {"file": {"path": "big.jsonl"}}
    with pytest.raises(InputError, match=r"100\.0 MiB"):
        stage(job(source), {"source": source}, tmp_path, mounted=False)


def test_several_files_become_one_with_the_same_items(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sku,title\n1,One\n2,Two\n")
    (tmp_path / "b.csv").write_text("title;sku\nThree;3\n;4\n")
    (tmp_path / "c.jsonl").write_text('{"sku": 5.0, "deep": {"x": null}}\n')
    source = {"file": {"path": "*.*"}, "where": "item.sku != '2'", "idField": ["sku", "_position"]}
    found = staged(source, tmp_path)
    assert found.changes["source"]["format"] == "jsonl"
    assert found.changes["source"]["where"] == source["where"]
    there = tmp_path / "there"
    here, as_seen = job(source).spec.source, as_seen_there(found, there)
    assert as_seen.spec.source.file == FileSource(path="products.jsonl")
    assert items(as_seen.spec.source, there) == items(here, tmp_path)
    assert len(items(here, tmp_path)) == 4


def as_seen_there(found: Staged, there: Path) -> BatchJob:
    """The job as its plan pod sees it, whose working directory is `there`."""
    there.mkdir()
    key = found.changes["source"]["configMap"]["key"]
    (there / key).write_bytes(content(found))
    return job({**found.changes["source"], "configMap": None, "file": {"path": key}})


def items(source: Any, base: Path) -> list[tuple[Any, ...]]:
    return [
        (item.position, item.item_id, item.content, item.payload)
        for item in read_items(source, base)
    ]


FILES = {"a.txt": b"a", "b.txt": b"", "new/c.txt": b"\xff\x00", "new/d e.txt": b"d"}


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ({}, ["a.txt", "b.txt", "new/c.txt", "new/d e.txt"]),
        ({"where": "item.size > 0", "limit": 2}, ["a.txt", "new/c.txt"]),
        ({"idField": "_position", "where": "item.size > 0"}, ["a.txt", "new/c.txt", "new/d e.txt"]),
    ],
)
def test_files_that_are_items_go_along_beside_their_list(
    more: dict[str, Any], wanted: list[str], tmp_path: Path
) -> None:
    base = tmp_path / "here"
    for name, data in FILES.items():
        path = base / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    source = {"file": {"path": "docs"}, "format": "files", **more}
    found = staged(source, base)
    assert found.told == f"{len(wanted)} files of {sum(len(FILES[one]) for one in wanted):,} bytes"
    here = items(job(source).spec.source, base)
    assert len(here) == len(wanted)
    assert items(as_seen_there(found, tmp_path / "there").spec.source, tmp_path / "there") == here

    (volume,) = found.changes["template"]["spec"]["volumes"]
    assert volume["configMap"]["name"] == found.name
    held = found.config_map.get("data", {})
    packed = found.config_map.get("binaryData", {})
    mounted = {
        one["path"]: held[one["key"]].encode() if one["key"] in held
        else base64.b64decode(packed[one["key"]])
        for one in volume["configMap"]["items"]
    }  # fmt: skip
    root = min((Path(name).parent for name in wanted), key=lambda one: len(one.parts))
    assert mounted == {f"files/{Path(name).relative_to(root)}": FILES[name] for name in wanted}
    (container,) = found.changes["template"]["spec"]["containers"]
    assert container["volumeMounts"][0]["mountPath"] == "/data/docs"


def test_too_many_or_too_large_files_are_refused_with_the_ways_there_are(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(MOST_FILES + 1):
        (folder / f"{number}.txt").write_bytes(b"x")
    source = {"file": {"path": "docs/*.txt"}, "format": "files"}
    with pytest.raises(InputError, match=r"docs/\*.txt has 1,001 files, and 1,000 .*objectStore"):
        staged(source, tmp_path)
    assert staged({**source, "limit": 3}, tmp_path).told == "3 files of 3 bytes"
    (folder / "0.txt").write_bytes(random.Random(1).randbytes(LARGEST - 3))
    with pytest.raises(InputError, match=r"docs/\*.txt has 9\d\d KiB, and a ConfigMap holds 900"):
        staged({**source, "limit": 3}, tmp_path)
    (folder / "0.txt").write_bytes(random.Random(1).randbytes(LARGEST + 1))
    with pytest.raises(InputError, match=r"\(3 files\) has 900 KiB, .* image of your own"):
        staged({**source, "limit": 3}, tmp_path)


def test_mistakes_in_the_data_are_found_before(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sku\n1\n")
    source = {"file": {"path": "a.csv"}, "idField": "SKU"}
    with pytest.raises(InputError, match="SKU"):
        stage(job(source), {"source": source}, tmp_path, mounted=False)
    source = {"file": {"path": "b.csv"}}
    with pytest.raises(InputError, match=r"no file 'b.csv'"):
        stage(job(source), {"source": source}, tmp_path, mounted=False)


@pytest.mark.parametrize(
    "source",
    [
        {"inline": {"items": [1]}},
        {"configMap": {"name": "c", "key": "k.jsonl"}},
        {"file": {"path": "/data/items.jsonl"}},
    ],
)
def test_what_is_there_already_stays(source: dict[str, Any], tmp_path: Path) -> None:
    assert stage(job(source, template=VOLUME), {"source": source}, tmp_path, mounted=False) is None


def test_the_user_may_say_that_a_path_is_one_in_the_pods(tmp_path: Path) -> None:
    source = {"file": {"path": "items/*.jsonl"}}
    assert stage(job(source), {"source": source}, tmp_path, mounted=True) is None


@pytest.mark.parametrize(
    ("path", "containers", "mounted"),
    [
        ("/data/a", [{"volumeMounts": [{"mountPath": "/data"}]}], True),
        ("/data", [{"volumeMounts": [{"mountPath": "/data/"}]}], True),
        ("/database/a", [{"volumeMounts": [{"mountPath": "/data"}]}], False),
        ("data/a", [{"volumeMounts": [{"mountPath": "/data"}]}], False),
        ("/data/a", [{"name": "other", "volumeMounts": [{"mountPath": "/data"}]}], True),
        ("/data/a", [{"name": "other", "volumeMounts": [{"mountPath": "/data"}]}, {}], False),
        ("/data/a", [{"name": "x"}, {"name": "penstock", "volumeMounts": [{"mountPath": "/data"}]}],
         True),
        ("/data/a", [], False),
    ],
)  # fmt: skip
def test_which_paths_are_on_volumes(path: str, containers: list[Any], mounted: bool) -> None:
    assert is_mounted(path, {"spec": {"containers": containers}}) is mounted
    assert not is_mounted(path, None)
