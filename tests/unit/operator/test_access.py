"""Addresses of the database for another user, and the passwords in them."""

from __future__ import annotations

import pytest

from penstock.errors import InputError
from penstock.store.roles import Place, verifier
from penstock_operator.access import password_for, password_in, with_user
from penstock_operator.settings import from_environment

NEEDED = {
    "PENSTOCK_DATABASE_URL": "postgresql://o:secret@db/p",
    "PENSTOCK_NAMESPACE": "ops",
    "PENSTOCK_WORKER_IMAGE": "worker:1",
}


@pytest.mark.parametrize(
    ("url", "password"),
    [
        ("postgresql://o:secret@db/p", "secret"),
        ("postgresql://o:a%40b%3A@db:6432/p?sslmode=require", "a@b:"),
        ("postgresql://o@db/p?password=s%2Fx", "s/x"),
        ("postgresql://o@db/p", ""),
        ("postgresql://db/p", ""),
        ("postgresql:///p?host=/run/postgresql&user=o", ""),
    ],
)
def test_the_password_in_an_address(url: str, password: str) -> None:
    assert password_in(url) == password


@pytest.mark.parametrize(
    ("url", "changed"),
    [
        ("postgresql://o:secret@db/p", "postgresql://r:pw@db/p"),
        ("postgresql://o:secret@a:1,b:2/p", "postgresql://r:pw@a:1,b:2/p"),
        ("postgresql://db:6432/p?sslmode=require", "postgresql://r:pw@db:6432/p?sslmode=require"),
        (
            "postgresql://db/p?user=o&sslrootcert=%2Fetc%2Fca.crt&password=secret",
            "postgresql://r:pw@db/p?sslrootcert=%2Fetc%2Fca.crt",
        ),
        # Else the database would be called as the user.
        ("postgresql://o:secret@db", "postgresql://r:pw@db/the%20base"),
        ("postgresql://o:secret@db/", "postgresql://r:pw@db/the%20base"),
        ("postgresql://o:secret@db/?dbname=p", "postgresql://r:pw@db/?dbname=p"),
        ("postgresql://o:secret@[::1]:5432/p", "postgresql://r:pw@[::1]:5432/p"),
        ("postgresql://o:secret@/p?host=/run", "postgresql://r:pw@/p?host=/run"),
    ],
)
def test_the_same_address_for_another_user(url: str, changed: str) -> None:
    assert with_user(url, "r", "pw", "the base") == changed


def test_a_password_is_made_of_the_operators_and_the_role() -> None:
    password = password_for("secret", "penstock_job_1")
    assert password == password_for("secret", "penstock_job_1")
    assert len(password) == 64
    assert password.isalnum()
    assert password != password_for("secret", "penstock_job_2")
    assert password != password_for("another", "penstock_job_1")


def test_what_the_server_is_told_is_not_the_password() -> None:
    told = verifier("abc123", "penstock_job_1")
    assert told.startswith("SCRAM-SHA-256$4096:")
    assert "abc123" not in told
    assert told != verifier("abc123", "penstock_job_2")


def test_names_tell_the_place_and_the_owner() -> None:
    here, there = (Place("a", schema, allowed=True, open=False) for schema in ("public", "other"))
    names = [here.role("c/1"), here.role("c/2"), there.role("c/1"), here.group, there.group]
    assert len(set(names)) == 5
    assert not here.group.startswith("penstock_job_"), "it would be taken for a job's"


@pytest.mark.parametrize(
    ("more", "roles"),
    [
        ({}, True),
        ({"PENSTOCK_JOB_ROLES": "true"}, True),
        ({"PENSTOCK_JOB_ROLES": "false"}, False),
        ({"PENSTOCK_WORKER_DATABASE_URL": ""}, True),
        ({"PENSTOCK_WORKER_DATABASE_URL": "postgresql://w@pooler/p"}, False),
    ],
)
def test_when_jobs_get_roles(more: dict[str, str], roles: bool) -> None:
    assert from_environment({**NEEDED, **more}).job_roles is roles


def test_a_switch_is_true_or_false() -> None:
    with pytest.raises(InputError, match=r"PENSTOCK_JOB_ROLES.*'yes'"):
        from_environment({**NEEDED, "PENSTOCK_JOB_ROLES": "yes"})
