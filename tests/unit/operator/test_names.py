"""Names of what the operator makes: valid everywhere, and never the same for two things."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.spec.names import LONGEST_JOB_NAME
from penstock_operator.names import (
    BATCHJOB,
    Owner,
    annotations_of,
    batchjob_of,
    batchjob_uid_of,
    fitting,
    job_name,
    labels,
    owner_reference,
    secret_name,
)
from penstock_operator.observed import Role

URL = "postgresql://penstock:hunter22@db/penstock"
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
LABEL_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
LAST_INDEX = "-19999"

# What the API server takes as the name of a BatchJob; one in two too long to be used as it is.
part = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
names = st.lists(part, min_size=1, max_size=4).map(".".join)
runs = st.integers(1, 2**31 - 1)
roles = st.sampled_from(["plan", "work", "export"])
owners = st.builds(Owner, names, st.just("shop"), st.uuids().map(str))


def owner(name: str = "tv", uid: str = "u-1") -> Owner:
    return Owner(name, "shop", uid)


@pytest.mark.parametrize(
    ("batchjob", "run", "role", "wanted"),
    [
        ("tv", 1, "plan", "tv-1-plan"),
        ("tv", 12, "export", "tv-12-export"),
        ("a" * 48, 3, "plan", "a" * 48 + "-3-plan"),
    ],
)
def test_a_name_that_fits_stays_readable(batchjob: str, run: int, role: Role, wanted: str) -> None:
    assert job_name(batchjob, run, role) == wanted


def test_a_long_name_is_cut_and_keeps_its_end() -> None:
    name = job_name("b" * LONGEST_JOB_NAME, 1, "export")
    assert re.fullmatch(r"b{39}-[0-9a-f]{8}-1-export", name)
    assert name != job_name("b" * (LONGEST_JOB_NAME - 1), 1, "export")


@given(names, runs, roles)
def test_every_name_is_valid_where_it_is_used(batchjob: str, run: int, role: Role) -> None:
    name = job_name(batchjob, run, role)
    # The host name of a pod of an Indexed Job, and the label that Kubernetes gives its pods.
    assert len(name + LAST_INDEX) <= 63
    assert LABEL.fullmatch(name)
    secret = secret_name(owner(batchjob), URL)
    assert len(secret) <= 63
    assert LABEL.fullmatch(secret)
    for value in labels(batchjob, run, role).values():
        assert len(value) <= 63
        assert LABEL_VALUE.fullmatch(value)


@given(st.tuples(names, runs, roles), st.tuples(names, runs, roles))
def test_different_jobs_have_different_names(
    one: tuple[str, int, Role], other: tuple[str, int, Role]
) -> None:
    assert (job_name(*one) == job_name(*other)) == (one == other)
    assert (labels(*one) == labels(*other)) == (one == other)


@given(st.text(), st.integers(10, 63))
def test_any_text_becomes_a_label_that_fits(text: str, room: int) -> None:
    result = fitting(text, room)
    assert len(result) <= room
    assert LABEL.fullmatch(result)


@given(st.from_regex(r"[a-z]{30,40}", fullmatch=True), st.sampled_from("abc"))
def test_names_that_differ_beyond_the_cut_stay_apart(text: str, last: str) -> None:
    assert fitting(text + "x", 20) != fitting(text + last, 20)


def test_a_secret_is_named_by_its_address_without_telling_it() -> None:
    name = secret_name(owner(), URL)
    assert re.fullmatch(r"tv-db-[0-9a-f]{8}", name)
    assert name == secret_name(owner(), URL)
    assert name != secret_name(owner(), URL + "2")
    assert name != secret_name(owner(uid="u-2"), URL), "the BatchJob was made again"
    assert name != secret_name(owner(), URL, "penstock_job_1"), "it has another user"


def test_labels() -> None:
    assert labels("tv", 2, "work") == {
        "penstock.dev/batchjob": "tv",
        "penstock.dev/run": "2",
        "penstock.dev/role": "work",
        "app.kubernetes.io/name": "penstock",
        "app.kubernetes.io/component": "work",
        "app.kubernetes.io/managed-by": "penstock-operator",
        "app.kubernetes.io/part-of": "tv",
    }


@given(owners)
def test_whose_an_object_is_comes_back_in_full(made: Owner) -> None:
    for metadata in (
        {"ownerReferences": [owner_reference(made)]},
        {"annotations": annotations_of(made)},
        {
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "x", "uid": "y"}],
            "annotations": annotations_of(made),
        },
    ):
        assert batchjob_of(metadata) == made.name
        assert batchjob_uid_of(metadata) == made.uid


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"annotations": None, "ownerReferences": None},
        {"labels": {BATCHJOB: "tv"}},
        {"annotations": {"penstock.dev/batchjob": ""}},
        {"ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "x", "uid": "y"}]},
        {"ownerReferences": [{"apiVersion": "other/v1", "kind": "BatchJob", "name": "x"}]},
    ],
)
def test_what_is_nobodys(metadata: dict[str, Any]) -> None:
    assert batchjob_of(metadata) is None
    assert batchjob_uid_of(metadata) is None
