"""Which jobs share a pool."""

from __future__ import annotations

import string
import time
from typing import Any

import pytest

from penstock.rate.told import FORMAT
from penstock.spec.job import BatchJob
from penstock.work.pool_key import pool_key

KEY = "sk-abcdefgh"
CHAT = {"messages": [{"role": "user", "content": "{{ item }}"}]}


def job(
    processor: dict[str, Any], namespace: str | None = None, pool: str | None = None
) -> BatchJob:
    return BatchJob.model_validate(
        {
            "apiVersion": "penstock.dev/v1alpha1",
            "kind": "BatchJob",
            "metadata": {"name": "job", **({"namespace": namespace} if namespace else {})},
            "spec": {
                "source": {"inline": {"items": [1]}},
                "processor": processor,
                "rateLimit": {"pool": pool} if pool else {},
            },
        }
    )


def openai(url: str = "https://api.openai.com/v1", model: str = "m", **more: Any) -> dict[str, Any]:
    return {"openai": {"baseURL": url, "model": model, **CHAT, **more}}


def http(url: str, **headers: str) -> dict[str, Any]:
    return {"http": {"url": url, "headers": headers}}


def test_a_name_stands_as_it_is_whatever_the_job() -> None:
    assert pool_key(job(openai(), "team", "openai-prod"), KEY) == f"{FORMAT}:openai-prod"
    assert (
        pool_key(job(http("http://a.example/"), None, "openai-prod"), None)
        == f"{FORMAT}:openai-prod"
    )


def test_it_is_a_hash_that_tells_nothing() -> None:
    version, _, key = pool_key(job(openai()), KEY).partition(":")
    assert version == str(FORMAT)
    assert len(key) == 64
    assert set(key) <= set(string.hexdigits)


def test_trying_passwords_against_it_is_slow() -> None:
    began = time.process_time()
    for password in ("one", "two", "three", "four"):
        pool_key(job(http(f"http://me:{password}@s.example/")), None)
    assert time.process_time() - began > 4 * 0.01


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (openai(), openai(messages=[{"role": "user", "content": "another prompt"}])),
        (openai("https://API.openai.com/v1/"), openai("https://api.openai.com:443/v1")),
        (openai("http://s.example/v1"), openai("http://s.example:80/v1")),
        (http("http://s.example/items/{{ id }}?a=1"), http("http://s.example/items/{{ item.n }}")),
        (http("http://s.example/a?x=1"), http("http://s.example/a")),
        (http("http://s.example/a", Accept="x"), http("http://s.example/a")),
    ],
)
def test_the_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert pool_key(job(one), KEY) == pool_key(job(other), KEY)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (openai(), openai(model="n")),
        (openai(), openai("https://other.example/v1")),
        (openai("http://s.example/v1"), openai("https://s.example/v1")),
        (openai("http://s.example/v1"), openai("http://s.example:8080/v1")),
        (openai("http://s.example/a/v1"), openai("http://s.example/b/v1")),
        (http("http://s.example/a/{{ id }}"), http("http://s.example/b/{{ id }}")),
        (http("http://{{ item.a }}/"), http("http://{{ item.b }}/")),
        (http("http://s.example/", Authorization="one"), http("http://s.example/")),
        (http("http://one@s.example/"), http("http://two@s.example/")),
    ],
)
def test_not_the_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert pool_key(job(one), KEY) != pool_key(job(other), KEY)


def test_every_api_key_has_its_own() -> None:
    keys = {pool_key(job(openai()), key) for key in (None, "", KEY, "sk-other")}
    assert len(keys) == 4


def test_a_name_that_is_local_to_a_namespace_means_a_server_of_its_own() -> None:
    near, far = openai("http://ollama:11434/v1"), openai("http://ollama.gpu.svc:11434/v1")
    assert pool_key(job(near, "a"), KEY) != pool_key(job(near, "b"), KEY)
    assert pool_key(job(far, "a"), KEY) == pool_key(job(far, "b"), KEY)


def test_versions_that_cannot_read_each_other_never_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    both = [job(openai()), job(openai(), "team", "openai-prod")]
    old = [pool_key(one, KEY) for one in both]
    monkeypatch.setattr("penstock.work.pool_key.FORMAT", FORMAT + 1)
    assert not set(old) & {pool_key(one, KEY) for one in both}
