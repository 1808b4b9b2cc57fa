"""From records to items: IDs, hashes, `where`, `limit`, `onBadRecord`, and which files are read."""

from __future__ import annotations

import json
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest

from penstock.errors import InputError
from penstock.sources.identity import id_fields, item_id
from penstock.sources.items import Item, _bad_item, check_source, read_items
from penstock.sources.records import BadRecord
from penstock.spec.source import Source


def inline(*items: Any, **options: Any) -> Source:
    return Source.model_validate({"inline": {"items": list(items)}, **options})


def file(path: str, **options: Any) -> Source:
    return Source.model_validate({"file": {"path": path}, **options})


def read(source: Source, base: Path = Path()) -> list[Item]:
    return list(read_items(source, base))


def refusal(source: Source, base: Path = Path()) -> str:
    with pytest.raises(InputError) as caught:
        read(source, base)
    return str(caught.value)


class TestItem:
    def test_without_an_id_field_the_hash_of_the_content_is_the_id(self) -> None:
        first, second = read(inline({"b": 1, "a": "é"}, {"a": "é", "b": 1}))
        content = blake2b('{"a":"é","b":1}'.encode(), digest_size=16)
        assert first == Item(
            0, content.hexdigest(), content.digest(), '{"b":1,"a":"é"}', "inline[0]", None, True
        )
        assert (second.item_id, second.content) == (first.item_id, first.content)
        assert (second.position, second.payload) == (1, '{"a":"é","b":1}')

    def test_with_an_id_field(self) -> None:
        (item,) = read(inline({"sku": "00123"}, idField="sku"))
        assert (item.item_id, item.hashed_id) == ("00123", False)

    def test_an_escaped_nul_in_the_payload_is_kept(self) -> None:
        (item,) = read(inline({"a": "x\0y"}))
        assert item.payload == '{"a":"x\\u0000y"}'

    def test_an_empty_list(self) -> None:
        assert refusal(inline()) == "spec.source.inline.items: the list is empty"
        with pytest.raises(InputError):
            check_source(inline(), Path())

    def test_a_value_that_json_cannot_say(self) -> None:
        assert refusal(inline({"a": {1, 2}})).startswith("inline[0]: it cannot be written as JSON")


class TestIdentity:
    @pytest.mark.parametrize(
        ("value", "names", "expected"),
        [
            ({"a": "x"}, "a", "x"),
            ({"a": " x "}, "a", " x "),
            ({"a": 0}, "a", "0"),
            ({"a": 5.0}, "a", "5"),
            ({"a": 5.5}, "a", "5.5"),
            ({"a": 10**30}, "a", str(10**30)),
            ({"a": "", "b": "y"}, ["a", "b"], "y"),
            ({"a": " \t", "b": "y"}, ["a", "b"], "y"),
            ({"a": None, "b": 0}, ["a", "b"], "0"),
            ({"b": "y"}, ["a", "b"], "y"),
            ({}, ["a", "_position"], "7"),
            ({"_position": 3}, "_position", "7"),
            ("text", ["a", "_position"], "7"),
            ({"a": "x" * 1000}, "a", "x" * 1000),
        ],
    )
    def test_the_first_that_is_not_empty(
        self, value: Any, names: str | list[str], expected: str
    ) -> None:
        assert item_id(value, 7, id_fields(names)) == expected

    @pytest.mark.parametrize(
        ("value", "names", "message"),
        [
            ({"a": ""}, "a", "no ID: 'a' is empty"),
            ({"sku": "x"}, "skus", "no ID: there is no field 'skus'; did you mean 'sku'?"),
            ({}, ["a", "b"], "no ID: 'a', 'b' are all empty or missing"),
            ("text", "a", "no ID: only an object has a field 'a', and this is none"),
            ({"a": True}, "a", "it is true or false, not text or a number"),
            ({"a": [1]}, "a", "it is a list"),
            ({"a": {}}, "a", "it is an object"),
            ({"a": 1e300}, "a", "is not exact; store it as text"),
            ({"a": "x" * 1001}, "a", "more than 1,000 characters"),
            ({"a": "x\0"}, "a", "there is a NUL character in it"),
        ],
    )
    def test_no_id(self, value: Any, names: str | list[str], message: str) -> None:
        with pytest.raises(BadRecord) as caught:
            item_id(value, 7, id_fields(names))
        assert message in str(caught.value)

    @pytest.mark.parametrize("name", ["skus", ["skus", "Code tier", "_position"]])
    def test_a_column_that_a_table_does_not_have(self, tmp_path: Path, name: Any) -> None:
        (tmp_path / "a.csv").write_text("sku,Code tiers\n1,2\n")
        message = refusal(file("a.csv", idField=name), tmp_path)
        assert message.startswith("spec.source.idField: a.csv:1 has no column ")
        assert "; did you mean " in message
        assert message.endswith("columns: sku, Code tiers")

    def test_one_column_of_several_is_enough(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text("sku,Code tiers\n,2\n5,\n")
        source = file("a.csv", idField=["sku", "Auxiliaire", "_position"])
        assert [item.item_id for item in read(source, tmp_path)] == ["0", "5"]


class TestWhereAndLimit:
    SOURCE = ({"n": 0}, {"n": 1}, {"n": 2}, {"n": 3}, {"n": 4})

    def test_dropped_rows_leave_gaps(self) -> None:
        items = read(inline(*self.SOURCE, where="item.n % 2 == 0", idField="n"))
        assert [(item.position, item.item_id) for item in items] == [(0, "0"), (2, "2"), (4, "4")]

    def test_limit_counts_what_where_lets_through(self) -> None:
        items = read(inline(*self.SOURCE, where="item.n > 1", limit=2))
        assert [item.position for item in items] == [2, 3]

    def test_nothing_is_read_beyond_the_limit(self) -> None:
        items = read(inline({"a": 1}, {"a": 2}, {}, idField="a", limit=2))
        assert [item.item_id for item in items] == ["1", "2"]

    def test_a_row_that_is_dropped_needs_no_id(self) -> None:
        assert (
            len(read(inline({"n": 1, "id": "x"}, {"n": 2}, where="item.n == 1", idField="id"))) == 1
        )

    def test_a_row_that_cannot_be_asked_is_bad(self) -> None:
        message = refusal(inline({"tag": "a"}, {"tga": "b"}, where="item.tag == 'a'"))
        assert message.startswith("inline[1]: spec.source.where: there is no field 'tag'")

    @pytest.mark.parametrize("act", [read, lambda source: check_source(source, Path())])
    def test_an_expression_that_does_not_parse(self, act: Any) -> None:
        with pytest.raises(InputError, match=r"spec\.source\.where"):
            act(inline(1, where="item.tag =="))


class TestBadRecords:
    def test_refused_with_their_places_up_to_ten_at_once(self, tmp_path: Path) -> None:
        (tmp_path / "a.jsonl").write_text('{"id": 1}\n{}\n' * 30)
        items = read_items(file("a.jsonl", idField="id"), tmp_path)
        assert next(items).item_id == "1"
        with pytest.raises(InputError) as caught:
            next(items)
        assert [mistake.where for mistake in caught.value.mistakes] == [
            f"a.jsonl:{line}" for line in range(2, 21, 2)
        ]

    def test_what_is_wrong_with_the_file_comes_with_them(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text('a,b\n1\n1,2\n"x,3\n')
        message = refusal(file("a.csv"), tmp_path)
        assert [line.split(":")[1] for line in message.splitlines()] == ["2", "4"]

    def test_failed_they_keep_their_place(self, tmp_path: Path) -> None:
        (tmp_path / "a.jsonl").write_text('{"id": "x"}\nbroken\n{"id": ""}\n{"id": "y"}\n')
        items = read(file("a.jsonl", idField="id", onBadRecord="failItem"), tmp_path)
        assert [(item.position, item.item_id, item.payload) for item in items] == [
            (0, "x", '{"id":"x"}'),
            (1, "_position:1", "null"),
            (2, "_position:2", '{"id":""}'),
            (3, "y", '{"id":"y"}'),
        ]
        assert [item.error is None for item in items] == [True, False, False, True]
        assert str(items[1].error).startswith("not JSON")
        assert not any(item.hashed_id for item in items)

    def test_the_id_is_kept_where_it_can_be_told(self) -> None:
        source = inline(
            {"id": "x", "n": "?"}, where="item.n > 1", idField="id", onBadRecord="failItem"
        )
        (item,) = read(source)
        assert (item.item_id, item.payload) == ("x", '{"id":"x","n":"?"}')
        assert item.error is not None

    def test_half_a_character_goes_nowhere_near_the_database(self) -> None:
        source = inline({"id": "\ud800"}, idField="id", onBadRecord="failItem")
        (item,) = read(source)
        assert (item.item_id, item.payload) == ("_position:0", "null")
        assert "half a character" in str(item.error)

    def test_only_its_own_row_is_bad_when_bytes_are_not_text(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_bytes(b"id\na\n\xe9\nb\n")
        items = read(file("a.csv", idField="id", onBadRecord="failItem"), tmp_path)
        assert [item.item_id for item in items] == ["a", "_position:1", "b"]

    def test_bad_rows_count_for_the_limit(self, tmp_path: Path) -> None:
        (tmp_path / "a.jsonl").write_text("{}\nbroken\n{}\n")
        items = read(file("a.jsonl", limit=2, onBadRecord="failItem"), tmp_path)
        assert [item.error is None for item in items] == [True, False]

    def test_without_an_id_field_a_bad_row_is_called_by_its_position(self) -> None:
        (item,) = read(inline({"n": 1}, where="item.m", onBadRecord="failItem"))
        assert (item.item_id, item.payload) == ("_position:0", '{"n":1}')


class TestFiles:
    def test_a_glob_reads_one_after_the_other(self, tmp_path: Path) -> None:
        (tmp_path / "in" / "deep").mkdir(parents=True)
        (tmp_path / "in" / "b.csv").write_text("n\n3\n")
        (tmp_path / "in" / "a.jsonl").write_text('{"n": 1}\n{"n": 2}\n')
        (tmp_path / "in" / ".hidden.csv").write_text("n\n9\n")
        (tmp_path / "in" / "c.csv").write_text("n\n")
        (tmp_path / "in" / "d.csv").write_text("")
        (tmp_path / "in" / "deep" / "e.csv").write_text("n\n4\n")
        items = read(file("in/**/*.*"), tmp_path)
        assert [int(json.loads(item.payload)["n"]) for item in items] == [1, 2, 3, 4]
        assert [item.position for item in items] == [0, 1, 2, 3]
        assert [item.where for item in items][1:] == [
            "in/a.jsonl:2",
            "in/b.csv:2",
            "in/deep/e.csv:2",
        ]
        check_source(file("in/**/*.*"), tmp_path)
        assert len(read(file(f"{tmp_path}/in/*.jsonl"), Path())) == 2

    def test_all_files_empty(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text("n\n")
        (tmp_path / "b.csv").write_text("")
        assert refusal(file("*.csv"), tmp_path).startswith("a.csv: there is a header row")

    def test_a_name_that_looks_like_a_glob(self, tmp_path: Path) -> None:
        (tmp_path / "a[1].csv").write_text("n\n1\n")
        (tmp_path / "a1.csv").write_text("n\n2\n")
        assert json.loads(read(file("a[1].csv"), tmp_path)[0].payload) == {"n": "1"}

    def test_format_overrules_the_suffix(self, tmp_path: Path) -> None:
        (tmp_path / "a.data").write_text("n\n1\n")
        assert len(read(file("a.data", format="csv"), tmp_path)) == 1

    @pytest.mark.parametrize(
        ("path", "message"),
        [
            ("products.cvs", "spec.source.file.path: no file 'products.cvs' in "),
            ("products.cvs", "; did you mean 'products.csv'?"),
            ("nowhere/a.csv", "there is no folder "),
            ("folder", "'folder' is a folder; for its files write folder/*"),
            ("*.xlsx", "no file matches '*.xlsx' (looked from "),
            ("/dev/null", "'/dev/null' is not a regular file"),
            ("a\0.csv", "a path cannot contain a NUL character"),
            ("**a/b", "is not a usable glob"),
            ("a.data", "spec.source.format: the name 'a.data' does not tell the format"),
            ("a.data", "one of jsonl, json, csv, parquet, xlsx"),
        ],
    )
    def test_no_file_to_read(self, tmp_path: Path, path: str, message: str) -> None:
        (tmp_path / "products.csv").write_text("n\n1\n")
        (tmp_path / "a.data").write_text("x")
        (tmp_path / "folder").mkdir()
        assert message in refusal(file(path), tmp_path)
        with pytest.raises(InputError):
            check_source(file(path), tmp_path)

    def test_what_may_not_be_read(self, tmp_path: Path) -> None:
        # A file that opens and cannot be read, for whoever runs the tests, the superuser included.
        (tmp_path / "a.csv").symlink_to("/proc/self/mem")
        assert refusal(file("a.csv"), tmp_path).startswith("a.csv: cannot be read: ")


def test_a_reason_can_be_stored_whatever_the_row_holds() -> None:
    assert _bad_item(0, "a.jsonl:1", None, "no 'a\0b'", []).error == "no 'a�b'"
