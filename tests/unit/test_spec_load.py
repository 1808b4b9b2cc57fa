"""Bad manifests: each is told with its path, its line and what would be right, all at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.errors import InputError, Mistake
from penstock.spec import yaml_text
from penstock.spec.job import BatchJob
from penstock.spec.load import load, parse

GOOD = """\
apiVersion: penstock.dev/v1alpha1
kind: BatchJob
metadata:
  name: products
spec:
  source:
    file: {path: products.csv}
    idField: sku
    where: "item.tag == 'Televisions'"
  processor:
    openai:
      model: gpt-5-nano
      messages: [{role: user, content: "Fill the metafields of {{ item.title }}"}]
      responseFormat: {type: object, properties: {brand: {type: string}}}
      apiKey: {secretKeyRef: {name: openai, key: api-key}}
  output:
    file: {path: out.xlsx}
"""


def message_of(text: str, *overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        parse(text, "job.yaml", overrides)
    assert caught.value.exit_code == 2
    return str(caught.value)


def with_processor(processor: str) -> str:
    head, rest = GOOD.split("  processor:\n")
    return f"{head}  processor:\n    {processor}\n  output:\n{rest.split('  output:')[1][1:]}"


def test_a_good_manifest_is_read_whole() -> None:
    job = parse(GOOD, "job.yaml")
    assert job.name == job.result_set == "products"
    assert job.spec.source.id_field == "sku"
    assert job.spec.processor.openai is not None
    assert job.spec.processor.openai.model == "gpt-5-nano"
    assert job.spec.retry.max_elapsed == 600.0
    assert job.spec.scaling.concurrency.max == 64


# (what is replaced, by what, the path in the message, a telling phrase)
REPLACED = [
    ("idField", "idFeild", "job.yaml:8 spec.source.idFeild", "did you mean 'idField'"),
    ("idField: sku", "limit: 0", "spec.source.limit", "at least 1, given the number 0"),
    ("idField: sku", "limit: -5", "spec.source.limit", "given the number -5"),
    ("idField: sku", "limit: '10'", "spec.source.limit", "without quotes"),
    ("idField: sku", "limit: 1.5", "spec.source.limit", "whole number"),
    ("idField: sku", "idField: 7", "spec.source.idField", "name of a field"),
    ("idField: sku", "idField: []", "spec.source.idField", "name of a field"),
    ("idField: sku", "idField: [a, b, a]", "spec.source.idField[2]", "in the list twice"),
    ("idField: sku", "format: cvs", "spec.source.format", "did you mean 'csv'"),
    ("idField: sku", "csv: {encoding: utf9}", "spec.source.csv.encoding", "no encoding 'utf9'"),
    ("idField: sku", "csv: {encoding: zlib}", "spec.source.csv.encoding", "no encoding"),
    ("idField: sku", "csv: {delimiter: '||'}", "spec.source.csv.delimiter", "single character"),
    ("idField: sku", "csv: {delimiter: '\"'}", "spec.source.csv.delimiter", "cannot separate"),
    ("idField: sku", "onBadRecord: ignore", "spec.source.onBadRecord", "refuse, failItem"),
    ("idField: sku", "inline: {items: [1]}", "spec.source.file", "inline and file are given"),
    ("{path: products.csv}", "products.csv", "spec.source.file", "the field path"),
    ("{path: products.csv}", "{path: ''}", "spec.source.file.path", "is empty"),
    ("{path: products.csv}", "{path: 's3://b/p.csv'}", "spec.source.file.path", "objectStore"),
    ("file: {path: products.csv}", "csv: {}", "spec.source", "none is given"),
    ("item.tag ==", "item.tag =", "spec.source.where", "does not parse"),
    ("item.tag", "itm.tag", "spec.source.where", "did you mean 'item'"),
    ("item.tag", "position", "spec.source.where", "'position' is not known here"),
    ("model: gpt-5-nano", "modle: x", "spec.processor.openai.modle", "did you mean 'model'"),
    ("model: gpt-5-nano", "input: x", "spec.processor.openai.model", "is missing: Name of the"),
    ("gpt-5-nano", "5", "spec.processor.openai.model", "put it in quotes"),
    ("gpt-5-nano", "no", "spec.processor.openai.model", "YAML reads yes, no, on and off"),
    ("{{ item.title }}", "{{ item.title", "messages[0].content", "does not parse"),
    ("{{ item.title }}", "{{ product }}", "messages[0].content", "'product' is not known here"),
    ("{{ item.title }}", "{{ item|shout }}", "messages[0].content", "shout"),
    ("role: user", "role: usr", "messages[0].role", "did you mean 'user'"),
    ("role: user, content", "role: user, text", "messages[0].content", "is missing"),
    ("{type: string}", "{type: strng}", "responseFormat.properties.brand.type", "JSON Schema"),
    ("{type: string}", "{$ref: 'http://x/y'}", "responseFormat", "references lead into"),
    ("{type: object,", "{type: json_schema,", "responseFormat", "schema: {…}"),
    ("{secretKeyRef: {name: openai, key: api-key}}", "sk-123", "openai.apiKey", "secretKeyRef"),
    ("name: products", "name: Our Products", "metadata.name", "such as our-products"),
    ("name: products", f"name: {'a' * 53}", "metadata.name", "at most 52"),
    ("name: products", "nmae: products", "metadata.nmae", "did you mean 'name'"),
    ("name: products", "name: 2024", "metadata.name", "put it in quotes"),
    ("kind: BatchJob", "kind: Job", "job.yaml:2 kind", "wanted BatchJob, given 'Job'"),
    ("/v1alpha1", "/v1", "job.yaml:1 apiVersion", "wanted penstock.dev/v1alpha1"),
    ("kind: BatchJob", "", "kind", "write kind: BatchJob"),
    ("{path: out.xlsx}", "{path: out.pdf}", "spec.output.file.path", ".jsonl, .csv, .xlsx"),
    ("{path: out.xlsx}", "{path: out/}", "spec.output.file.path", "path of a file"),
    ("file: {path: out.xlsx}", "format: csv", "spec.output", "exactly one of file"),
    *(
        (
            "file: {path: out.xlsx}",
            f"objectStore: {{url: 's3://b/{key}'}}{more}",
            "spec.output.objectStore.url",
            "not a pattern",
        )
        for key, more in (("*.csv", ""), ("[a]/", "\n    perItem: '{{ id }}'"))
    ),
    *(
        (
            "{path: out.xlsx}",
            f"{{path: 's3://b/res'}}{more}",
            "spec.output.file.path",
            "is an address, not a path",
        )
        for more in ("", "\n    perItem: '{{ id }}'")
    ),
    ("{path: out.xlsx}", "{path: o.csv}\n    format: xlsx", "spec.output.format", "says csv"),
    ("  name: products", "  name: products\n  name: b", "job.yaml:5", "'name' stands here twice"),
    ("idField: sku", "limit: .inf", "job.yaml:8", "no number in JSON"),
    ("idField: sku", "on: 3", "job.yaml:8", "the key on is read as bool"),
    ("    idField", "\tidField", "job.yaml:8", "not YAML"),
    ("idField: sku", "idField: a: b", "job.yaml:8", "not YAML"),
    ("idField: sku", "idField: @sku", "job.yaml:8", "in quotes"),
    ("idField: sku", "idField: !!python/name:os.x sku", "job.yaml:8", "JSON values only"),
]


@pytest.mark.parametrize(("old", "new", "where", "phrase"), REPLACED)
def test_one_thing_wrong(old: str, new: str, where: str, phrase: str) -> None:
    assert old in GOOD
    message = message_of(GOOD.replace(old, new, 1))
    line = next((line for line in message.splitlines() if where in line), "")
    assert phrase in line, message


# (further fields of spec, the path in the message, a telling phrase)
ADDED = [
    ("scaling: {concurrency: {min: 9, max: 3}}", "concurrency.min", "9 is more than max"),
    ("scaling: {minParallelism: 5, maxParallelism: 2}", "minParallelism", "maxParallelism, 2"),
    ("scaling: {concurrency: {max: 0}}", "scaling.concurrency.max", "at least 1"),
    ("scaling: 4", "spec.scaling", "concurrency, maxParallelism, minParallelism"),
    ("concurrency: 4", "spec.concurrency", "it belongs in spec.scaling"),
    ("sharding: {itemsPerShard: 0}", "spec.sharding.itemsPerShard", "auto or a whole number"),
    ("batching: {maxItemsPerRequest: 0}", "batching.maxItemsPerRequest", "at least 1"),
    ("rateLimit: {requestsPerMinute: 0}", "rateLimit.requestsPerMinute", "more than 0"),
    ("rateLimit: {requestsPerMinute: many}", "rateLimit.requestsPerMinute", "wanted a number"),
    ("retry: {maxAttempts: 0}", "spec.retry.maxAttempts", "at least 1"),
    ("retry: {maxElapsed: 10 minutes}", "spec.retry.maxElapsed", "10m"),
    ("retry: {maxElapsed: -1m}", "spec.retry.maxElapsed", "negative"),
    ("retry: {requestTimeout: 0s}", "spec.retry.requestTimeout", "more than 0"),
    ("failurePolicy: {toleratedFailurePercentage: 101}", "Percentage", "at most 100"),
    ("checkpoint: {maxInterval: 1ms}", "spec.checkpoint.maxInterval", "at least 0.01"),
    ("checkpoint: {maxItems: 100000}", "spec.checkpoint.maxItems", "at most 10000"),
    ("existing: yes", "spec.existing", "one of skip, skipByID, force"),
    ("existing: skipById", "spec.existing", "did you mean 'skipByID'"),
    ("resultSet: 'a b'", "spec.resultSet", "letters, digits"),
    ("price: {inputPerMillion: -1}", "spec.price.inputPerMillion", "at least 0"),
    ("budget: {maxCost: 3}", "spec.budget.maxCost", "needs spec.price"),
    ("suspend: 'true'", "spec.suspend", "without quotes"),
    ("deletionPolicy: retain", "spec.deletionPolicy", "did you mean 'Retain'"),
    ("redrive: -1", "spec.redrive", "at least 0"),
    ("rate_limit: {}", "spec.rate_limit", "did you mean 'rateLimit'"),
]


@pytest.mark.parametrize(("field", "where", "phrase"), ADDED)
def test_one_field_too_many(field: str, where: str, phrase: str) -> None:
    message = message_of(f"{GOOD}  {field}\n")
    assert f"job.yaml:{len(GOOD.splitlines()) + 1} spec." in message
    assert any(where in line and phrase in line for line in message.splitlines()), message


# (the processor, the path in the message, a telling phrase)
PROCESSORS = [
    ("openai: {model: m}", "openai.messages", "is missing: operation chat needs it"),
    ("openai: {model: m, operation: chat, input: x}", "openai.input", "takes `messages`"),
    ("openai: {model: m, operation: embeddings}", "openai.input", "embeddings needs it"),
    ("openai: {model: m, operation: responses}", "openai.input", "responses needs it"),
    ("openai: {model: m, operation: embed, input: x}", "operation", "did you mean"),
    (
        "openai: {model: m, operation: embeddings, input: x, responseFormat: {}}",
        "openai.responseFormat",
        "embeddings are numbers",
    ),
    ("openai: {model: m, messages: [{role: user, content: 3}]}", "content", "wanted text, or"),
    (
        "openai: {model: m, operation: responses, input: x, parameters: {model: n}}",
        "openai.parameters.model",
        "is set by spec.processor.openai.model",
    ),
    (
        "openai: {model: m, operation: responses, input: x, parameters: {stream: true}}",
        "openai.parameters.stream",
        "read whole",
    ),
    (
        "openai: {model: m, operation: embeddings, input: x, baseURL: localhost:80}",
        "openai.baseURL",
        "http:// or https://",
    ),
    (
        "openai: {model: m, operation: embeddings, input: x, baseURL: 'http://h/v1/embeddings'}",
        "openai.baseURL",
        "leave /embeddings away",
    ),
    ("ollama: {model: m}", "spec.processor.ollama", "either `input`"),
    ("ollama: {model: m, input: x, operation: chat}", "ollama.messages", "is missing"),
    ("http: {url: 'ftp://h/x'}", "http.url", "http:// or https://"),
    ("http: {url: 'http://'}", "http.url", "names no host"),
    ("http: {url: 'http://h:port/'}", "http.url", "not an address"),
    ("http: {url: 'http://h/a b'}", "http.url", "blanks"),
    ("http: {url: 'http://u:p@h/'}", "http.url", "do not belong in an address"),
    ("http: {url: 'http://h/', method: Post}", "http.method", "did you mean 'POST'"),
    ("http: {url: 'http://h/', itemsBody: x, headers: {a: '{{ id }}'}}", "headers.a", "'id'"),
    ("http: {url: 'http://h/{{ item. }}'}", "http.url", "does not parse"),
    ("openai: {model: m, operation: embeddings, messages: []}", "openai.messages", "`input`"),
    (
        "openai: {model: m, operation: responses, input: x, messages: []}",
        "openai.input",
        "both given",
    ),
    ("http: {url: 'http://h/', body: a, itemsBody: b}", "http.itemsBody", "both given"),
    ("http: {url: 'http://h/', responsePath: 'a[['}", "http.responsePath", "JMESPath"),
    ("http: {url: 'http://h/', idPath: ''}", "http.idPath", "JMESPath"),
    ("http: {url: 'http://h/', headers: {X: 3}}", "http.headers.X", "put it in quotes"),
    ("http: {url: 'http://h/', headers: {'a b': x}}", "http.headers", "name of a header"),
    ('http: {url: "http://h/", headers: {a: "b\\nc"}}', "http.headers.a", "one line"),
    ("http: {url: 'http://h/', body: {a: [1, '{{ items }}']}}", "http.body.a[1]", "not known"),
    ("http: {url: 'http://h/', itemsBody: '{{ item }}'}", "http.itemsBody", "'items'"),
    ("http: {url: 'http://h/', body: {a: '{{ }}'}}", "http.body.a", "does not parse"),
    ("python: {entrypoint: 'mod.func'}", "python.entrypoint", "package.module:function"),
    ("http: {url: 'http://h/'}, ollama: {model: m, input: x}", "processor.http", "are given"),
    ("{}", "spec.processor", "none is given"),
]


@pytest.mark.parametrize(("processor", "where", "phrase"), PROCESSORS)
def test_a_processor_that_does_not_fit(processor: str, where: str, phrase: str) -> None:
    inner = processor if processor == "{}" else f"{{{processor}}}"
    message = message_of(with_processor(inner))
    assert any(where in line and phrase in line for line in message.splitlines()), message


NOT_YET = [
    ("processor.stages=[]", "spec.processor.stages"),
    ("budget.maxTokens=10", "spec.budget"),
]


@pytest.mark.parametrize(("override", "where"), NOT_YET)
def test_what_comes_later_says_so(override: str, where: str) -> None:
    message = message_of(GOOD, override)
    assert any(where.removeprefix("spec.") in line and "not supported yet" in line
               for line in message.splitlines()), message  # fmt: skip


def test_fields_of_the_cluster_are_accepted() -> None:
    job = parse(
        GOOD
        + "  managedBy: kueue.x-k8s.io/multikueue\n  ttlSecondsAfterFinished: 60\n"
        + "  activeDeadlineSeconds: 3600\n  suspend: true\n  redrive: 1\n  rerun: 2\n"
        + "  deletionPolicy: Delete\n  template: {spec: {containers: []}}\n",
        "job.yaml",
    )
    assert job.spec.template == {"spec": {"containers": []}}
    assert job.spec.ttl_seconds_after_finished == 60


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    text = (
        GOOD.replace("idField", "idFeild")
        .replace("file: {path: products.csv}", "file: {path: a.csv}\n    inline: {items: [1]}")
        .replace("item.title", "itm.title")
        .replace("out.xlsx", "out.doc")
        + "  retry: {maxElapsed: soon}\n  scaling: {concurrency: {min: 3, max: 2}}\n"
    )
    with pytest.raises(InputError) as caught:
        parse(text, "job.yaml")
    places = [mistake.where for mistake in caught.value.mistakes]
    assert places == [
        "job.yaml:7 spec.source.file",
        "job.yaml:9 spec.source.idFeild",
        "job.yaml:14 spec.processor.openai.messages[0].content",
        "job.yaml:18 spec.output.file.path",
        "job.yaml:19 spec.retry.maxElapsed",
        "job.yaml:20 spec.scaling.concurrency.min",
    ]


def test_a_required_field_that_is_missing_hides_no_other_mistake() -> None:
    message = message_of(GOOD.replace("model: gpt-5-nano", "").replace("item.title", "itm.title"))
    assert "openai.model: is missing" in message
    assert "did you mean 'item'" in message


@pytest.mark.parametrize(
    "secret",
    [
        "apiKey: sk-very-secret",
        "apiKey: {secretKeyRef: sk-very-secret}",
        "apiKey: [sk-very-secret]",
        "apiKey: {secretKeyRef: {name: sk-very-secret, kye: x}}",
        "parameters: sk-very-secret",
    ],
)
def test_no_message_repeats_what_may_be_a_secret(secret: str) -> None:
    text = GOOD.replace("apiKey: {secretKeyRef: {name: openai, key: api-key}}", secret)
    assert "very-secret" not in message_of(text)


def test_not_even_a_number_is_repeated_where_it_may_be_a_secret() -> None:
    assert "73901" not in message_of(GOOD.replace("gpt-5-nano", "73901"))
    assert "73901" not in message_of(
        with_processor("{http: {url: 'http://h', headers: {a: 73901}}}")
    )


def test_a_secret_in_broken_yaml_or_an_override_is_not_repeated() -> None:
    assert "very-secret" not in message_of(GOOD + "  apiKey: 'sk-very-secret\n")
    assert "very-secret" not in message_of(GOOD, "processor.openai.apiKey=sk-very-secret")
    assert "very-secret" not in message_of(GOOD, "processor.openai.apikey=sk-very-secret")


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("", "empty"),
        ("# nothing\n", "empty"),
        ("null", "not a BatchJob"),
        ("- a\n- b\n", "not a BatchJob"),
        ("just text", "not a BatchJob"),
        (f"{GOOD}---\n{GOOD}", "a second document"),
        ("a: &a [*a]", "an alias that holds itself"),
        ("[" * 200 + "]" * 200, "nested more than 100 levels"),
        ("a: \x00", "U+0000"),
        ("a: !!int x", "not YAML that can be read"),
    ],
)
def test_what_is_no_manifest_at_all(text: str, phrase: str) -> None:
    assert phrase in message_of(text)


def test_json_with_escaped_halves_of_characters_is_read_as_kubectl_reads_it() -> None:
    text = r'{"a": ["\uD83D\ude80\ud83d\ude80 \\ud83d\\ude80", "\\\ud83d\ude80", "\u00e9"]}'
    assert yaml_text.read(text, "job.json").value == json.loads(text)
    literal = r"{a: '\ud83d\ude80'}"
    assert yaml_text.read(literal, "job.yaml").value == {"a": r"\ud83d\ude80"}


def test_aliases_that_multiply_are_refused_before_they_fill_the_memory() -> None:
    text = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
    )
    assert "more than five million values" in message_of(text)


@pytest.mark.parametrize(
    "processor",
    [
        "http: {url: 'http://h/{{ item.id }}/x', method: GET, headers: {X-Id: '{{ id }}'}}",
        "http: {url: 'http://h/', body: {a: '{{ item.a }}'}, responsePath: 'data[0].x'}",
        "http: {url: 'http://h/', itemsBody: '{{ items | tojson }}', idPath: id}",
        "openai: {model: m, operation: responses, messages: [{role: user, content: x}]}",
        "openai: {model: m, operation: responses, input: x, parameters: {text: {verbosity: low}}}",
        "openai: {model: m, operation: embeddings, input: '{{ item.a }}'}",
        "openai: {model: m, messages: [{role: user, content: [{type: text, text: '{{ id }}'}]}]}",
        "openai: {model: m, messages: [{role: user, content: x}], responseFormat: "
        "{type: json_schema, json_schema: {name: n, schema: {type: object}}}}",
        "openai: {model: m, messages: [{role: user, content: x}], responseFormat: "
        "{type: json_schema, name: n, schema: {type: object}}}",
        "openai: {model: m, messages: [{role: user, content: x}], responseFormat: "
        "{type: json_object}}",
        "ollama: {model: m, input: '{{ item }}', keepAlive: 5m}",
        "ollama: {model: m, messages: [{role: user, content: x}], parameters: {options: {a: 1}}}",
    ],
)
def test_processors_that_fit(processor: str) -> None:
    assert parse(with_processor(f"{{{processor}}}"), "job.yaml").name == "products"


def test_null_means_not_given() -> None:
    assert parse(GOOD + "  retry:\n  budget: null\n", "job.yaml").spec.retry.max_attempts == 5


def test_dates_stay_text() -> None:
    job = parse(GOOD.replace("idField: sku", "idField: 2024-01-01"), "job.yaml")
    assert job.spec.source.id_field == "2024-01-01"


def test_what_the_cluster_added_is_passed_over() -> None:
    text = GOOD.replace(
        "  name: products", "  name: products\n  uid: abc\n  generation: 3\n  managedFields: [{}]"
    )
    assert parse(text + "status: {phase: Running}\n", "job.yaml").name == "products"


OVERRIDES = [
    ("rateLimit.requestsPerMinute=500", lambda job: job.spec.rate_limit.requests_per_minute, 500),
    ("spec.source.limit=3", lambda job: job.spec.source.limit, 3),
    ("metadata.name=other", lambda job: job.name, "other"),
    ("processor.openai.model=5", lambda job: job.spec.processor.openai.model, "5"),
    ("processor.openai.model=a=b", lambda job: job.spec.processor.openai.model, "a=b"),
    ("processor.openai.parameters.n.m=[1]", lambda job: job.spec.processor.openai.parameters,
     {"n": {"m": [1]}}),
    ("processor.openai.messages[0].content={{ item }}",
     lambda job: job.spec.processor.openai.messages[0].content, "{{ item }}"),
    ("source.idField=null", lambda job: job.spec.source.id_field, None),
    ("retry.maxElapsed=1h30m", lambda job: job.spec.retry.max_elapsed, 5400),
]  # fmt: skip


@pytest.mark.parametrize(("override", "read", "value"), OVERRIDES)
def test_overrides(override: str, read: object, value: object) -> None:
    assert callable(read)
    assert read(parse(GOOD, "job.yaml", [override])) == value


@pytest.mark.parametrize(
    ("override", "phrase"),
    [
        ("rateLimit.requestPerMinute=5", "did you mean 'requestsPerMinute'"),
        ("limit=5", "spec has no field 'limit'"),
        ("source.limit.x=5", "has no parts"),
        ("source.limit", "wanted path=value"),
        ("=5", "wanted a path"),
        ("a..b=5", "wanted a path"),
        ("processor.openai.messages[3].role=user", "has 1 elements"),
        ("source.limit=abc", "--set source.limit: wanted a whole number"),
        ("source.limit=", "--set source.limit: wanted a whole number"),
        ("budget.maxTokens=10", "--set budget.maxTokens (spec.budget): not supported yet"),
    ],
)
def test_overrides_that_do_not_fit(override: str, phrase: str) -> None:
    assert phrase in message_of(GOOD, override)


def test_several_wrong_overrides_are_told_at_once() -> None:
    message = message_of(GOOD, "foo=1", "bar=2")
    assert "--set foo" in message
    assert "--set bar" in message


def test_load_reads_the_file_and_names_it(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert load(path).name == "products"
    assert load(path, ["metadata.name=x"]).name == "x"


@pytest.mark.parametrize(
    ("content", "phrase"),
    [
        (GOOD.replace("products.csv", "prodüits.csv").encode("latin-1"), ":7: not UTF-8"),
        (GOOD.encode("utf-16"), "UTF-16"),
    ],
)
def test_files_in_another_encoding(tmp_path: Path, content: bytes, phrase: str) -> None:
    path = tmp_path / "job.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=phrase):
        load(path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "products.yaml").write_text(GOOD)
    with pytest.raises(InputError, match=r"did you mean 'products\.yaml'"):
        load(tmp_path / "product.yaml")
    with pytest.raises(InputError, match="is a folder"):
        load(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        load(tmp_path / "products.yaml" / "job.yaml")


def only_input_errors(text: str) -> None:
    try:
        job: BatchJob | None = parse(text, "job.yaml")
        mistakes: tuple[Mistake, ...] = ()
    except InputError as error:
        job, mistakes = None, error.mistakes
    assert bool(mistakes) == (job is None)
    assert all(mistake.where.startswith("job.yaml") for mistake in mistakes)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    only_input_errors(text)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["source", "processor", "openai", "http", "file", "path", "messages", "inline",
             "items", "scaling", "concurrency", "min", "idField", "csv", "retry", "output",
             "body", "responseFormat", "type", "stages", "template"]
        ) | st.text(max_size=4),
        inner, max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=300)
@given(st.sampled_from(["metadata", "spec", "source", "processor", "scaling", "output"]), VALUES)
def test_any_value_in_any_place_is_read_or_refused(place: str, value: object) -> None:
    data = yaml.safe_load(GOOD)
    if place in data:
        data[place] = value
    else:
        data["spec"][place] = value
    only_input_errors(yaml.safe_dump(data, allow_unicode=True))


@settings(max_examples=300)
@given(st.integers(0, len(GOOD) - 1), st.text(max_size=3), st.integers(0, 12))
def test_any_damage_to_a_good_manifest_is_read_or_refused(
    start: int, inserted: str, removed: int
) -> None:
    only_input_errors(GOOD[:start] + inserted + GOOD[start + removed :])
