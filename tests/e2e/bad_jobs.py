"""Mistakes that people make in BatchJobs, what each is to be told, and how some are mended."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.kube import Object

PROVIDER = "http://simulator:8000"
"""A provider that answers everybody, in the namespace of the jobs."""
GUARDED = "http://guarded:8000"
"""One that wants the key KEY."""
KEY = "sk-test-Marzipan-7"
WRONG = "sk-test-Nougat-8"
ABSENT = "registry.invalid/nobody/nothing:1"
LETTERS = [{"id": "a", "text": "x"}, {"id": "b", "text": "y"}]
TINY: Object = {"resources": {"requests": {"cpu": "10m", "memory": "32Mi"}}}


@dataclass(frozen=True)
class Told:
    """What stands in the status: a condition with its reason and words of its message."""

    condition: str
    status: str
    reason: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Bad:
    """A BatchJob with a mistake. spec: laid over that of `good`. told: what its status says, else
    what the API server answers (`refused`). data: a ConfigMap of its own name, text or bytes by
    key. mended: fields of the spec that mend it. extra: what else has to be
    there for that."""

    name: str
    spec: Object
    refused: tuple[str, ...] = ()
    told: Told | None = None
    data: dict[str, str | bytes] = field(default_factory=dict)
    mended: Object | None = None
    extra: tuple[Object, ...] = ()

    def manifest(self, changes: Object | None = None) -> Object:
        """The BatchJob as it is applied."""
        return {
            "apiVersion": "penstock.dev/v1alpha1",
            "kind": "BatchJob",
            "metadata": {"name": self.name},
            "spec": {**good(), **self.spec, **(changes or {})},
        }


def good() -> Object:
    """The spec of a job that is in order."""
    return {
        "source": {"inline": {"items": LETTERS}, "idField": "id"},
        "processor": http(),
        "scaling": {"maxParallelism": 1},
        "template": pods(),
    }


def http(**more: Any) -> Object:
    """The processor, with further options of `http`."""
    return {"http": {"url": f"{PROVIDER}/echo", "body": {"text": "{{ item.text }}"}, **more}}


def pods(container: Object | None = None, **spec: Any) -> Object:
    """A pod template for small pods."""
    own = {"name": "penstock", **TINY, **(container or {})}
    return {"spec": {"containers": [own], **spec}}


def config_map(name: str, data: dict[str, str | bytes]) -> Object:
    """A ConfigMap; bytes are not UTF-8."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": {key: value for key, value in data.items() if isinstance(value, str)},
        "binaryData": {
            key: base64.b64encode(value).decode()
            for key, value in data.items()
            if isinstance(value, bytes)
        },
    }


def secret(name: str, data: dict[str, str]) -> Object:
    """A Secret."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "stringData": data,
    }


def _refused(name: str, spec: Object, *words: str) -> Bad:
    """Not even taken by the API server."""
    return Bad(name, spec, refused=words)


def _invalid(name: str, spec: Object, *words: str, mended: Object | None = None) -> Bad:
    """Taken, and found wrong before anything starts."""
    return Bad(name, spec, told=Told("Failed", "True", "InvalidManifest", words), mended=mended)


def _unread(name: str, content: str | bytes, *words: str, key: str = "", **source: Any) -> Bad:
    """The items in a ConfigMap cannot be read."""
    key = key or "items.csv"
    where = {"configMap": {"name": name, "key": key}, "idField": "id", **source}
    told = Told("Failed", "True", "InvalidInput", words)
    return Bad(name, {"source": where}, told=told, data={key: content})


def _waits(name: str, reason: str, spec: Object, *words: str, **more: Any) -> Bad:
    """Taken, and waits for somebody to mend it."""
    return Bad(name, spec, told=Told("Progressing", "False", reason, words), **more)


def _body(text: str) -> Object:
    return http(body={"text": text})


_FROM_MAP = {"source": {"configMap": {"name": "late", "key": "items.csv"}, "idField": "id"}}
_KEYED = http(apiKey={"secretKeyRef": {"name": "late-key", "key": "api-key"}})
_NO_KEY = http(apiKey={"secretKeyRef": {"name": "half-key", "key": "api-key"}})
_WRONG_KEY = http(
    url=f"{GUARDED}/echo", apiKey={"secretKeyRef": {"name": "wrong-key", "key": "api-key"}}
)
_CODE_FROM = {"configMap": {"name": "late-code"}}
_LATE_CODE = {"python": {"entrypoint": "mine:work", "codeFrom": _CODE_FROM}}
_LATE_DATABASE = {"postgres": {"query": "SELECT 1", "secretRef": {"name": "late-database"}}}
_SIXTY = [{"id": number, "text": "x"} for number in range(60)]
_OUTPUT = {"output": {"file": {"path": "out.csv"}}}

BAD: list[Bad] = [
    _refused("misspelt", {"retries": 5}, 'unknown field "spec.retries"'),
    _refused(
        "two-sources",
        {"source": {"inline": {"items": [1]}, "file": {"path": "a.csv"}}},
        "spec.source: ",
        "exactly one of",
    ),
    _refused("dotted.name", {}, "metadata.name: ", "wanted lower-case"),
    _refused("long-" * 11 + "x", {}, "metadata.name: ", "Too long"),
    _refused("text-for-number", {"scaling": {"maxParallelism": "many"}}, "maxParallelism: "),
    _refused("min-above-max", {"scaling": {"minParallelism": 9, "maxParallelism": 2}}, "minParall"),
    _refused("no-scheme", {"processor": {"http": {"url": "localhost:80"}}}, "http.url: "),
    _refused("no-suffix", {"output": {"file": {"path": "o.doc"}}}, "output.file.path", "suffix"),
    _refused("nothing-to-do", {"source": {"inline": {"items": []}}}, "spec.source.inline.items"),
    _invalid(
        "template-broken",
        {"processor": _body("{{ item.text }")},
        "spec.processor.http.body.text: the template does not parse",
        mended={"processor": http()},
    ),
    _invalid(
        "template-name",
        {"processor": _body("{{ itme.text }}")},
        "spec.processor.http.body.text: 'itme' is not known here; did you mean 'item'?",
    ),
    _invalid(
        "where-broken",
        {"source": {**good()["source"], "where": "item.id = 'a'"}},
        "spec.source.where: the expression does not parse",
    ),
    _invalid(
        "response-path", {"processor": http(responsePath="data[")}, "responsePath: not a JMESPath"
    ),
    _invalid("not-yet", {"budget": {"maxTokens": 1000}}, "not supported yet"),
    _invalid(
        "encoding",
        {
            "source": {
                "configMap": {"name": "late", "key": "items.csv"},
                "csv": {"encoding": "utf-99"},
            }
        },
        "spec.source.csv.encoding",
    ),
    _invalid("restarts", {"template": pods(restartPolicy="Always")}, "restartPolicy: only Never"),
    _invalid(
        "our-variable",
        {"template": pods({"env": [{"name": "PENSTOCK_RUN", "value": "7"}]})},
        "spec.template.spec.containers[0].env[0]",
    ),
    _unread("csv-broken", 'id,text\na,"never ends\n', "items.csv"),
    _unread("csv-twice", "id,text\na,x\na,y\n", "'a'", "items.csv"),
    _unread("csv-empty", "id,text\n", "items.csv", "no row below"),
    _unread("csv-bytes", b"id,text\na,gr\xf6\xdfe\n", "items.csv", "not UTF-8"),
    _unread("no-such-id", "sku,text\na,x\n", "idField", "'id'"),
    _unread("json-broken", '{"id": "a"}\n{"id": \n', "items.jsonl:2", key="items.jsonl"),
    _unread("no-format", "id,text\n", "spec.source", "format", key="items"),
    _unread("where-all", "id,text\na,x\n", "no items", where="item.id == 'z'"),
    Bad(
        "template-field",
        {"processor": _body("{{ item.texd }}")},
        told=Told("Failed", "True", "InvalidInput", ("no field 'texd'; did you mean 'text'?",)),
        mended={"processor": http()},
    ),
    Bad(
        "no-file",
        {"source": {"file": {"path": "products.csv"}, "idField": "id"}},
        told=Told("Failed", "True", "InvalidInput", ("products.csv",)),
        mended={"source": good()["source"]},
    ),
    Bad(
        "not-writable",
        _OUTPUT,
        told=Told("Failed", "True", "InvalidInput", ("spec.output.file.path: cannot write /data",)),
        mended={"output": {"file": {"path": "/tmp/out.csv"}}, "rerun": 1},
    ),
    Bad("no-module", {"processor": {"python": {"entrypoint": "mine:work"}}},
        told=Told("Failed", "True", "InvalidInput", ("there is no module mine",))),
    _waits("no-code", "StartTakesLong", {"processor": _LATE_CODE}, "ConfigMap late-code", extra=(
        config_map("late-code", {"mine.py": "def work(item):\n    return item\n"}),
    ), mended={}),
    _waits("no-database-secret", "SecretMissing", {"source": _LATE_DATABASE},
           "There is no Secret late-database", "--from-file=url=FILE"),
    _waits("no-map", "StartTakesLong", _FROM_MAP, "ConfigMap late", extra=(
        config_map("late", {"items.csv": "id,text\na,x\n"}),
    ), mended={}),
    _waits("no-key-in-map", "StartTakesLong", {
        "source": {"configMap": {"name": "no-key-in-map", "key": "itms.csv"}, "idField": "id"},
    }, "ConfigMap no-key-in-map", data={"items.csv": "id\na\n"}),
    _waits("no-secret", "SecretMissing", {"processor": _KEYED},
           "kubectl create secret generic late-key", "--from-file=api-key=",
           extra=(secret("late-key", {"api-key": KEY}),), mended={}),
    _waits("no-key-in-secret", "SecretMissing", {"processor": _NO_KEY},
           "The Secret half-key has no key api-key"),
    _waits("too-large", "Unschedulable",
           {"template": pods({"resources": {"requests": {"cpu": "999"}}})}, "Insufficient cpu",
           "spec.template", mended={"template": pods()}),
    _waits("no-node", "Unschedulable", {"template": pods(nodeSelector={"disk": "none"})},
           "node", "nodeSelector"),
    _waits("no-image", "ImagePullFailed", {"template": pods({"image": ABSENT})}, ABSENT,
           "spec.template.spec.containers[].image", mended={"template": pods()}),
    _waits("image-name", "ImagePullFailed", {"template": pods({"image": "Not An Image"})},
           "is not the name of an image"),
    _waits("unknown-field", "Refused", {"template": pods(nodeSelectr={"a": "b"})},
           'unknown field "spec.template.spec.nodeSelectr"', mended={"template": pods()}),
    _waits("no-volume", "Refused",
           {"template": pods({"volumeMounts": [{"name": "none", "mountPath": "/x"}]})},
           "spec.template.spec.containers[0].volumeMounts", "Not found", "none"),
    _waits("no-command", "CannotStart", {"template": pods({"command": ["/no/such/program"]})},
           "/no/such/program", "spec.template"),
    _waits("host-path", "PodsNotCreated",
           {"template": pods(volumes=[{"name": "h", "hostPath": {"path": "/"}}])},
           "Pod Security", "kubectl describe job"),
    Bad(
        "shared-results",
        {"resultSet": "busy"},
        told=Told("Accepted", "False", "ResultSetInUse", ("busy",)),
        mended={"resultSet": "free"},
    ),
    Bad(
        "wrong-key",
        {"processor": _WRONG_KEY, "source": {"inline": {"items": _SIXTY}}},
        told=Told("Progressing", "False", "", ("Incorrect API key",)),
    ),
]  # fmt: skip
