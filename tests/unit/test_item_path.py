"""`output.perItem`: which paths items get, and which are refused."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.errors import InputError
from penstock.export.per_item import content, planned
from penstock.sources.items import read_items
from penstock.spec.item_path import BadPath, ItemPaths, item_path_mistakes
from penstock.spec.source import Source


@pytest.mark.parametrize(
    ("template", "item_id", "path"),
    [
        ("out/{{ id }}.txt", "7", "out/7.txt"),
        ("out/{{ id }}.txt", "docs/a.pdf", "out/docs/a.pdf.txt"),
        ("out/{{ id }}.txt", "/data/a.pdf", "out/data/a.pdf.txt"),
        ("{{ item.path.split('/')[-1] }}.json", "x", "a.pdf.json"),
        ("./{{ position }}", "x", "3"),
        ("{{ id }}", "ä ö/..x", "ä ö/..x"),
    ],
)
def test_a_path_is_rendered_and_tidied(template: str, item_id: str, path: str) -> None:
    paths = ItemPaths(template)
    assert paths.path(id=item_id, item={"path": "d/a.pdf"}, position=3) == path


@pytest.mark.parametrize(
    ("template", "item_id", "said"),
    [
        ("out/{{ id }}", "../../etc/passwd", "leaves the folder"),
        ("{{ id }}", "/etc/passwd", "begins at the root"),
        ("{{ id }}", "", "is an empty path"),
        ("{{ id }}", "folder/", "path of a folder"),
        ("{{ id }}", "a\0b", "NUL"),
        ("{{ id }}", "a\ud800", "half a character"),
        ("{{ item.pat }}", "x", "there is no field 'pat'"),
    ],
)
def test_a_path_that_will_not_do_is_refused(template: str, item_id: str, said: str) -> None:
    with pytest.raises(BadPath, match=said):
        ItemPaths(template).path(id=item_id, item={"path": "d"}, position=3)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("out/results.txt", "every item would be written to one file"),
        ("", "is an empty path"),
        ("../{{ id }}", r"leaves the folder"),
        ("/data/{{ id }}", r"name the folder in spec.output.file.path"),
        ("out/{{ id }}.txt", None),
    ],
)
def test_what_is_wrong_whatever_the_items_are(template: str, said: str | None) -> None:
    found = [mistake.message for mistake in item_path_mistakes(template)]
    assert [said in one for one in found] == [True] if said else not found


def items(*values: Any, **more: Any) -> Source:
    return Source.model_validate({"inline": {"items": list(values)}, **more})


def test_two_items_with_one_path_are_told_before_anything_starts(tmp_path: Any) -> None:
    source = items({"k": "a", "n": 1}, {"k": "b", "n": 2}, {"k": "a", "n": 3}, idField="n")
    with pytest.raises(InputError, match=r"item '3' \(inline\[2\]\): 'a' is that of .* position 0"):
        list(planned(read_items(source, tmp_path), "{{ item.k }}"))
    read = list(planned(read_items(source, tmp_path), "{{ item.k }}/{{ id }}"))
    assert [item.item_id for item in read] == ["1", "2", "3"]
    assert len(list(planned(read_items(source, tmp_path), "{{ item.k }}/{{ output.x }}"))) == 3
    with pytest.raises(InputError, match="'2' no"):
        list(planned(read_items(source, tmp_path), "{{ id }}", lambda path: "no" * (path == "2")))


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("a", "a/b", "'a/b' is below the file of the item at position 0"),
        ("a", "a/b/c/d", "'a/b/c/d' is below the file of the item at position 0"),
        ("a/b", "a", "'a' is the folder of other items' files"),
        ("a/b/c/d", "a/b", "'a/b' is the folder of other items' files"),
    ],
)
def test_a_file_of_one_is_no_folder_of_another(first: str, second: str, said: str) -> None:
    paths = ItemPaths("{{ id }}")
    paths.claim("a-b", 5)
    paths.claim(first, 0)
    paths.claim("x/y", 1)
    paths.claim("x/z", 2)
    with pytest.raises(BadPath, match=said):
        paths.claim(second, 3)


def test_text_is_written_as_it_is_and_anything_else_as_json() -> None:
    assert content("é\n") == "é\n".encode()
    assert content({"a": [1, None]}) == b'{"a":[1,null]}\n'
    assert content(None) == b"null\n"
