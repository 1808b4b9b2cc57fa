"""Addresses in object stores, and the options that a Secret holds for one."""

from __future__ import annotations

import pytest

from penstock.errors import InputError
from penstock.sources.objects import would_match
from penstock.spec.object_url import ObjectUrl, Scheme, is_object_url, url_problem
from penstock.spec.secrets import store_options
from penstock.spec.source import SecretRef, Source


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("s3://b", ("s3", "b", "")),
        ("s3://b/", ("s3", "b", "")),
        ("gs://b/a/c d%20.csv", ("gs", "b", "a/c d%20.csv")),
        ("az://c/folder/", ("az", "c", "folder/")),
    ],
)
def test_an_address_has_a_bucket_and_a_key(text: str, parts: tuple[str, str, str]) -> None:
    url = ObjectUrl.parse(text)
    assert (url.scheme, url.bucket, url.key) == parts
    assert is_object_url(text)
    assert ObjectUrl.parse(str(url)) == url


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("b/a.csv", "wanted an address"),
        ("http://b/a.csv", "wanted an address"),
        ("s3:///a.csv", "names no bucket"),
        ("s3://key:secret@b/a.csv", "credentials go into secretRef"),
        ("s3://b//a.csv", "empty parts"),
        ("s3://b/../a.csv", "empty parts"),
    ],
)
def test_what_is_none_says_what_would_be(text: str, said: str) -> None:
    assert said in url_problem(text)


@pytest.mark.parametrize(
    ("source", "format", "key", "found"),
    [
        ("s3://b/in", "files", "in/a.pdf", True),
        ("s3://b/in", "files", "in/.a.pdf", False),
        ("s3://b/in", "files", "out/a.pdf", False),
        ("s3://b/in/*.pdf", "files", "in/a.txt", False),
        ("s3://b/in/*.csv", None, "in/a.csv", True),
        ("s3://b/in/*.csv", None, "in/sub/a.csv", False),
        ("s3://b/a.csv", None, "a.csv", True),
        ("s3://b/a.csv", None, "a.csv/b", False),
        ("s3://other/in", "files", "in/a.pdf", False),
    ],
)
def test_which_objects_are_the_input(source: str, format: str, key: str, found: bool) -> None:
    of = Source.model_validate({"objectStore": {"url": source}, "format": format})
    assert would_match(of, ObjectUrl("s3", "b", key)) is found


def test_every_variable_of_the_secret_is_an_option() -> None:
    environ = {
        "PENSTOCK_SECRET_MY_STORE_AWS_ACCESS_KEY_ID": "key",
        "PENSTOCK_SECRET_MY_STORE_AWS_SECRET_ACCESS_KEY": "secret",
        "PENSTOCK_SECRET_MY_STORE_AWS_REGION": " eu-west-1\n",
        "PENSTOCK_SECRET_MY_STORE_AWS_ENDPOINT_URL": "",
        "PENSTOCK_SECRET_MY_STORE_GOOGLE_SERVICE_ACCOUNT": "x",
        "PENSTOCK_SECRET_MY_AWS_SKIP_SIGNATURE": "true",
        "AWS_ACCESS_KEY_ID": "own",
    }
    found = store_options(SecretRef(name="my-store"), "s3", "source", environ)
    assert found == {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "eu-west-1",
    }
    other = store_options(SecretRef(name="my"), "s3", "source", environ)
    assert other == {"AWS_SKIP_SIGNATURE": "true"}
    assert store_options(None, "s3", "source", environ) == {}
    with pytest.raises(InputError, match=r"output\.objectStore\.secretRef: .*MY_STORE_AZURE_"):
        store_options(SecretRef(name="my-store"), "az", "output", environ)


@pytest.mark.parametrize(
    ("scheme", "there", "missing"),
    [
        ("s3", {"AWS_ENDPOINT_URL": "x"}, "S_AWS_ACCESS_KEY_ID and PENSTOCK_SECRET_S_AWS_SECRET"),
        ("s3", {"AWS_ACCESS_KEY_ID": "x"}, "set PENSTOCK_SECRET_S_AWS_SECRET_ACCESS_KEY"),
        ("az", {"AZURE_STORAGE_ACCOUNT_KEY": "x"}, "set PENSTOCK_SECRET_S_AZURE_STORAGE_ACCOUNT_N"),
    ],
)
def test_what_a_secret_lacks_is_not_taken_from_the_environment(
    scheme: Scheme, there: dict[str, str], missing: str
) -> None:
    own = {"AWS_ACCESS_KEY_ID": "own", "AWS_SECRET_ACCESS_KEY": "own"}
    environ = {**own, **{f"PENSTOCK_SECRET_S_{name}": value for name, value in there.items()}}
    with pytest.raises(InputError, match=missing):
        store_options(SecretRef(name="s"), scheme, "source", environ)
