"""`format: files`: which files are items, and what those look like."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import jsons
from penstock.errors import InputError
from penstock.sources.items import check_source, read_items
from penstock.sources.patterns import Pattern
from penstock.spec.source import Source


def source(path: str, **more: Any) -> Source:
    return Source.model_validate({"file": {"path": path}, "format": "files", **more})


def paths(path: str, base: Path, **more: Any) -> list[str]:
    items = list(read_items(source(path, **more), base))
    return [jsons.loads(item.payload)["path"] for item in items]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (
        "docs/b.pdf", "docs/a.pdf", "docs/a.txt", "docs/sub/c.pdf", "docs/sub/deep/d.pdf",
        "docs/.hidden.pdf", "docs/.git/e.pdf", "other/f.pdf", "docs/[x].pdf", "docs/ä ö.pdf",
    ):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


ALL = ["docs/[x].pdf", "docs/a.pdf", "docs/b.pdf", "docs/sub/c.pdf", "docs/sub/deep/d.pdf"]


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("docs/*.txt", ["docs/a.txt"]),
        ("./docs//*.txt", ["docs/a.txt"]),
        ("docs", ["docs/[x].pdf", "docs/a.pdf", "docs/a.txt", *ALL[2:], "docs/ä ö.pdf"]),
        ("docs/**", ["docs/[x].pdf", "docs/a.pdf", "docs/a.txt", *ALL[2:], "docs/ä ö.pdf"]),
        ("docs/**/*.pdf", [*ALL, "docs/ä ö.pdf"]),
        ("**/deep/*.pdf", ["docs/sub/deep/d.pdf"]),
        ("*/?.pdf", ["docs/a.pdf", "docs/b.pdf", "other/f.pdf"]),
        ("docs/[!a].pdf", ["docs/b.pdf"]),
        ("docs/[ab].pdf", ["docs/a.pdf", "docs/b.pdf"]),
        ("docs/[x].pdf", ["docs/[x].pdf"]),
        ("docs/.*.pdf", ["docs/.hidden.pdf"]),
        ("docs/.git/*", ["docs/.git/e.pdf"]),
        ("docs/a.pdf", ["docs/a.pdf"]),
    ],
)
def test_which_files_are_meant(tree: Path, written: str, found: list[str]) -> None:
    assert paths(written, tree) == found
    check_source(source(written), tree)


def test_an_absolute_pattern_gives_absolute_paths(tree: Path) -> None:
    assert paths(f"{tree}/docs/*.txt", Path("/")) == [f"{tree}/docs/a.txt"]


def test_an_item_says_path_size_and_time_and_its_id_is_the_path(tree: Path) -> None:
    os.utime(tree / "docs/a.pdf", (1767225600, 1767225600))
    (item,) = read_items(source("docs/a.pdf"), tree)
    assert jsons.loads(item.payload) == {
        "path": "docs/a.pdf",
        "size": 10,
        "modified": "2026-01-01T00:00:00Z",
    }
    assert item.item_id == "docs/a.pdf"
    before = item.content
    (tree / "docs/a.pdf").write_text("something else")
    (item,) = read_items(source("docs/a.pdf"), tree)
    assert item.content != before


def test_where_limit_and_id_field(tree: Path) -> None:
    assert paths("docs", tree, where="item.path.endswith('.txt')") == ["docs/a.txt"]
    assert paths("docs/**/*.pdf", tree, limit=2) == ALL[:2]
    items = list(read_items(source("docs/*.pdf", idField="_position"), tree))
    assert [item.item_id for item in items] == ["0", "1", "2", "3"]


def test_links_do_not_go_round_in_circles(tree: Path) -> None:
    (tree / "docs/sub/loop").symlink_to(tree / "docs")
    (tree / "docs/gone.pdf").symlink_to(tree / "nowhere")
    (tree / "docs/linked.pdf").symlink_to(tree / "other/f.pdf")
    assert paths("docs/**/*.pdf", tree) == [*ALL[:3], "docs/linked.pdf", *ALL[3:], "docs/ä ö.pdf"]
    assert paths("docs/sub/loop/a.pdf", tree) == ["docs/sub/loop/a.pdf"]
    assert paths("docs/*/loop/a.*", tree) == ["docs/sub/loop/a.pdf", "docs/sub/loop/a.txt"]


@pytest.mark.parametrize("written", ["docs", "docs/*", "docs/**/*.pdf", "docs/r*/*"])
def test_a_link_to_itself_leads_nowhere(tree: Path, written: str) -> None:
    (tree / "docs/round.pdf").symlink_to("round.pdf")
    (tree / "docs/to").symlink_to("fro")
    (tree / "docs/fro").symlink_to("to")
    (tree / "docs/real").mkdir()
    (tree / "docs/real/x.pdf").touch()
    found = paths(written, tree)
    assert "docs/round.pdf" not in found
    assert ("docs/real/x.pdf" in found) == (written != "docs/*")


def test_what_cannot_be_looked_at_is_a_bad_record(tree: Path) -> None:
    # A name that the system refuses: as root, permissions refuse nothing.
    (tree / "docs/long.pdf").symlink_to("x" * 300)
    with pytest.raises(InputError, match=r"docs/long.pdf: cannot be looked at: File name too lo"):
        paths("docs/*.pdf", tree)
    bad = list(read_items(source("docs/*.pdf", onBadRecord="failItem"), tree))
    assert [item.where for item in bad if item.error is not None] == ["docs/long.pdf"]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("x" * 300, "cannot be looked at: File name too long"),
        ("x" * 300 + "/*", "there is no folder"),
        ("docs/*.docx", "matches no file"),
        ("nodocs/*.pdf", "there is no folder"),
        ("nodocs", "there is no file or folder 'nodocs'"),
        ("empty", "is an empty folder .*hidden files do not count"),
        ("pipe", "neither a file nor a folder"),
        ("docs/[z-a].pdf", "is not a usable pattern"),
    ],
)
def test_when_there_is_nothing_it_says_where_it_looked(tree: Path, written: str, said: str) -> None:
    (tree / "empty").mkdir()
    (tree / "empty/.keep").touch()
    os.mkfifo(tree / "pipe")
    for look in (check_source, lambda *of: list(read_items(*of))):
        with pytest.raises(InputError, match=rf"spec\.source\.file\.path: .*{said}"):
            look(source(written), tree)


def test_a_name_that_is_no_utf8_is_a_bad_record(tree: Path) -> None:
    (tree / "other" / os.fsdecode(b"\xff.pdf")).touch()
    with pytest.raises(InputError, match=r"other/\\xff.pdf: .*not UTF-8"):
        paths("other", tree)
    bad = list(read_items(source("other", onBadRecord="failItem"), tree))
    assert [item.error is None for item in bad] == [True, False]


def test_patterns_do_not_look_where_nothing_can_be() -> None:
    pattern = Pattern.of("a/b*/c/*.txt")
    assert pattern == Pattern("a/", ("b*", "c", "*.txt"))
    assert pattern.leads_on(("bx",))
    assert pattern.leads_on(("bx", "c"))
    assert not pattern.leads_on(("x",))
    assert not pattern.leads_on(("bx", "c", "d"))


PARTS = st.text("ab.[]!*?-^\\&|~{}(+", min_size=1, max_size=8)


@given(st.lists(PARTS, min_size=1, max_size=4))
def test_any_text_is_a_pattern_or_said_to_be_none(parts: list[str]) -> None:
    try:
        pattern = Pattern.of("/".join(parts))
    except ValueError:
        return
    assert pattern.matches("a/b") in (True, False)
    assert pattern.leads_on(("a",)) in (True, False)


@given(st.lists(PARTS.filter(lambda part: part not in (".", "..")), min_size=1, max_size=4))
def test_what_is_escaped_matches_itself_and_nothing_else(parts: list[str]) -> None:
    written = "/".join(
        "".join(f"[{one}]" if one in "*?[" else one for one in part) for part in parts
    )
    pattern = Pattern.of(written)
    assert pattern.matches("/".join(parts).removeprefix(pattern.folder)) or not any(
        mark in written for mark in "*?["
    )
    assert not pattern.matches("b/".join(parts) + "x")
