"""The manifest as it is handed over, and the key that belongs to it."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.cluster.keys import key_of
from penstock.cluster.manifest import manifest_for, stays_here, writes_there
from penstock.cluster.staged import Staged
from penstock.spec.job import BatchJob
from penstock.spec.load import check

OPENAI = {"model": "m", "baseURL": "http://llm/v1", "messages": [{"role": "user", "content": "a"}]}


def written(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "penstock.dev/v1alpha1",
        "kind": "BatchJob",
        "metadata": {"name": "products", "labels": {"team": "a"}, "uid": "1", "namespace": "n"},
        "spec": {
            "source": {"inline": {"items": [{"a": None}]}, "limit": None},
            "processor": {"openai": OPENAI},
            "retry": {"maxElapsed": "10m"},
            **spec,
        },
    }


def of(data: dict[str, Any]) -> BatchJob:
    job, mistakes = check(data)
    assert job is not None, mistakes
    return job


def handed(data: dict[str, Any], **more: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"staged": [], "key": None, "there": None, **more}
    return manifest_for(of(data), data, **given)


def test_it_stays_what_was_written() -> None:
    data = written()
    found = handed(data)
    assert found["metadata"] == {"name": "products", "labels": {"team": "a"}}
    assert found["spec"] == {
        "source": {"inline": {"items": [{"a": None}]}},
        "processor": {"openai": OPENAI},
        "retry": {"maxElapsed": "10m"},
        "rerun": 0,
        "redrive": 0,
        "suspend": False,
    }
    assert data["spec"]["source"]["limit"] is None, "the one given was changed"


def test_staged_data_takes_the_place_of_the_file() -> None:
    source = {"configMap": {"name": "c", "key": "k"}, "idField": "sku"}
    found = handed(written(), staged=[Staged({}, {"source": source}, "")])
    assert found["spec"]["source"] == source


@pytest.mark.parametrize(
    ("status", "rerun"),
    [({}, 3), ({"phase": "Running"}, 3), ({"phase": "Complete"}, 4), ({"phase": "Failed"}, 4)],
)
def test_counters_never_fall_and_an_ended_job_runs_anew(status: Any, rerun: int) -> None:
    there = {"spec": {"rerun": 3, "redrive": 2, "suspend": True}, "status": status}
    spec = handed(written(), there=there)["spec"]
    assert (spec["rerun"], spec["redrive"], spec["suspend"]) == (rerun, 2, False)
    assert handed(written(rerun=9), there=there)["spec"]["rerun"] == 9


@pytest.mark.parametrize(
    ("output", "there"),
    [
        ({"perItem": "{{ id }}"}, False),
        ({"perItem": "{{ id }}", "file": {"path": "out"}}, False),
        ({"perItem": "{{ id }}", "objectStore": {"url": "s3://out"}}, True),
        ({"objectStore": {"url": "s3://out/a.csv"}}, True),
    ],
)
def test_files_of_items_are_written_there_only_to_a_store_or_volume(
    output: dict[str, Any], there: bool
) -> None:
    assert writes_there(of(written(output=output))) is there


def test_a_local_output_stays_here_and_one_on_a_volume_goes_along() -> None:
    local = written(output={"file": {"path": "out/results.xlsx"}})
    assert not writes_there(of(local))
    assert "output" not in handed(local)["spec"]
    mounts = [{"volumeMounts": [{"name": "d", "mountPath": "/data"}]}]
    there = written(
        output={"file": {"path": "/data/results.xlsx"}}, template={"spec": {"containers": mounts}}
    )
    assert writes_there(of(there))
    assert handed(there)["spec"]["output"] == {"file": {"path": "/data/results.xlsx"}}


@pytest.mark.parametrize(
    ("processor", "told"),
    [
        ({"openai": OPENAI}, ""),
        ({"openai": {**OPENAI, "baseURL": "http://127.0.0.1:8000/v1"}}, "http://127.0.0.1:8000/v1"),
        ({"ollama": {"model": "m", "input": "a"}}, "http://localhost:11434"),
        ({"http": {"url": "http://[::1]/x"}}, "http://[::1]/x"),
        ({"http": {"url": "http://p/x"}}, ""),
    ],
)
def test_addresses_of_this_machine_are_told(processor: Any, told: str) -> None:
    assert stays_here(of(written(processor=processor))) == told


# --- keys


def test_a_key_at_hand_becomes_a_secret_of_the_job() -> None:
    data = written()
    key = key_of(of(data), {"OPENAI_API_KEY": " sk-1234567 \n"})
    assert key is not None
    assert (key.ours, key.variable) == (True, "OPENAI_API_KEY")
    assert key.secret("products")["stringData"] == {"api-key": "sk-1234567"}
    assert "sk-1234567" not in repr(key)
    assert "sk-1234567" not in key.command("n") + str(key.not_asked("n"))
    found = handed(data, key=key)["spec"]["processor"]["openai"]
    assert found["apiKey"] == {"secretKeyRef": {"name": "products-api-key", "key": "api-key"}}
    assert of({**data, "spec": {**data["spec"], "processor": {"openai": found}}})


def test_a_server_of_ones_own_needs_none_and_openai_does() -> None:
    assert key_of(of(written()), {}) is None
    openai = {name: value for name, value in OPENAI.items() if name != "baseURL"}
    key = key_of(of(written(processor={"openai": openai})), {})
    assert key is not None
    assert not key.value
    assert "OPENAI_API_KEY is not set" in str(key.not_there("n"))
    assert "kubectl -n n create secret generic products-api-key" in str(key.not_there("n"))


def test_a_secret_that_is_named_stays_the_users() -> None:
    reference = {"secretKeyRef": {"name": "llm", "key": "token"}}
    data = written(processor={"openai": {**OPENAI, "apiKey": reference}})
    for variable in ("PENSTOCK_SECRET_LLM_TOKEN", "OPENAI_API_KEY"):
        key = key_of(of(data), {variable: "abc"})
        assert key is not None
        assert (key.name, key.entry, key.ours, key.value) == ("llm", "token", False, "abc")
        assert handed(data, key=key)["spec"]["processor"]["openai"]["apiKey"] == reference
    http = {"url": "http://p", "apiKey": reference}
    key = key_of(of(written(processor={"http": http})), {"OPENAI_API_KEY": "abc"})
    assert key is not None
    assert not key.value, "OpenAI's key is not meant for whatever server the manifest names"
