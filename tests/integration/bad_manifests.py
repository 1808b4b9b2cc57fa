"""Mistakes in manifests, and how each should be told."""

from __future__ import annotations

from tests.integration.bad_input_support import (
    MANIFEST,
    Case,
    edit,
    option_of_http,
    option_of_source,
    processor,
    source,
    spec,
    whole,
)

CHAT = "model: m, baseURL: 'URL/v1', messages: [{role: user, content: x}]"
TEXT = "{{ item.text }}"
KEY_OF = "apiKey: {secretKeyRef: {name: shop, key: api-key}}"


def bomb() -> str:
    """A few lines of YAML that stand for a thousand million values."""
    lines = [f"a: &a [{', '.join(['x'] * 10)}]"]
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]")
    return "\n".join(lines)


SHAPE = [
    edit(
        *("a field misspelt", "idField", "idFeild"),
        *("job.yaml:7 spec.source.idFeild: there is no field", "did you mean 'idField'?"),
    ),
    edit(
        *("a field at the wrong level", "retry:", "onBadRecord: failItem\n  retry:"),
        *("job.yaml:12 spec.onBadRecord: there is no field", "it belongs in spec.source"),
    ),
    edit("a list for text", "10m", "[10m]", "job.yaml:12 spec.retry.maxElapsed: this is not a dur"),
    spec(
        *("text for a number", "scaling: {maxParallelism: many}"),
        "job.yaml:12 spec.scaling.maxParallelism: wanted a whole number, given a text",
    ),
    spec(
        *("a number in quotes", 'checkpoint: {maxItems: "100"}'),
        "job.yaml:12 spec.checkpoint.maxItems: wanted a whole number",
        "write it without quotes",
    ),
    spec("a list for an object", "retry: [5]", "job.yaml:12 spec.retry: wanted an object"),
    edit(
        *("an object for text", "name: products", "name: {is: products}"),
        "job.yaml:3 metadata.name: wanted text, given an object",
    ),
    edit(
        *("an ID of no field", "idField: id", "idField: []"),
        "job.yaml:7 spec.source.idField: wanted the name of a field",
    ),
    source(
        *("a list without items", "inline: {items: []}"),
        "job.yaml:6 spec.source.inline.items: there are no items in it",
    ),
    edit(
        *("two sources", "idField: id", "inline: {items: [1]}"),
        *("job.yaml:6 spec.source.file: wanted exactly one of", "inline and file are given"),
    ),
    source(
        *("no source", "idField: id"),
        *("job.yaml:5 spec.source: wanted exactly one of inline,", "none is given"),
    ),
    edit(
        *("two processors", "http:", "ollama: {model: m, input: x}\n    http:"),
        *("job.yaml:10 spec.processor.http: wanted exactly one of", "ollama and http are given"),
    ),
    processor(
        *("no processor", "{}"),
        *("job.yaml:8 spec.processor: wanted exactly one of openai,", "none is given"),
    ),
    edit(
        *("nothing in the spec", MANIFEST.split("spec:\n")[1], ""),
        "job.yaml:4 spec: is missing",
    ),
    edit("no name", "{name: products}", "{}", "job.yaml:3 metadata.name: is missing"),
    edit(
        *("a name that cannot be one", "name: products", "name: My Products!"),
        *("job.yaml:3 metadata.name: wanted lower-case letters", "such as my-products"),
    ),
    spec(
        *("min above max", "scaling: {concurrency: {min: 9, max: 3}}"),
        "job.yaml:12 spec.scaling.concurrency.min: 9 is more than max, which is 3",
    ),
    spec(
        *("the fewest above the most", "scaling: {minParallelism: 5, maxParallelism: 2}"),
        "job.yaml:12 spec.scaling.minParallelism: 5 is more than maxParallelism, 2",
    ),
    option_of_source(
        *("a negative limit", "limit: -1"),
        "job.yaml:8 spec.source.limit: wanted at least 1, given the number -1",
    ),
    option_of_source(
        *("a limit of zero", "limit: 0"),
        "job.yaml:8 spec.source.limit: wanted at least 1, given the number 0",
    ),
    edit(
        *("a bad duration", "10m", "ten minutes"),
        "job.yaml:12 spec.retry.maxElapsed: 'ten minutes' is not a duration; write for example",
    ),
    edit("a duration without its unit", "10m", '"600"', "maxElapsed: '600' is not a duration"),
    edit("a negative duration", "10m", "-5s", "maxElapsed: a duration cannot be negative"),
    spec(
        *("a word that is not known", "existing: skipped"),
        *("job.yaml:12 spec.existing: wanted one of", "given 'skipped'; did you mean 'skip'?"),
    ),
    spec(
        *("more than everything", "failurePolicy: {toleratedFailurePercentage: 150}"),
        "spec.failurePolicy.toleratedFailurePercentage: wanted at most 100, given the number 150",
    ),
    edit("another kind", "BatchJob", "Job", "job.yaml:2 kind: wanted BatchJob, given 'Job'"),
    edit(
        *("another version", "penstock.dev/v1alpha1", "batch/v1"),
        "job.yaml:1 apiVersion: wanted penstock.dev/v1alpha1, given 'batch/v1'",
    ),
    edit("no kind", "kind: BatchJob\n", "", "kind: is missing; write kind: BatchJob"),
]
YAML = [
    whole("not YAML", "spec: {source: [\n", "job.yaml:2: not YAML: "),
    whole(
        *("a tab in front", "kind: BatchJob\nspec:\n\tsource: {}\n"),
        *("job.yaml:3: not YAML", "indent with blanks, not tabs"),
    ),
    whole("words", "just some words\n", "job.yaml:1: not a BatchJob: wanted apiVersion, kind"),
    whole("an empty manifest", "", "job.yaml: the file is empty"),
    whole("nothing but comments", "# to be written\n", "job.yaml: the file is empty"),
    edit(
        *("a key twice", "  retry:", "  source: {}\n  retry:"),
        "job.yaml:12: the key 'source' stands here twice; first in line 5",
    ),
    whole(
        *("two documents", f"{MANIFEST}---\n{MANIFEST}"),
        "job.yaml:14: a second document; one BatchJob a file",
    ),
    whole("an alias bomb", bomb(), "job.yaml: more than five million values"),
    whole("an alias in itself", "a: &a [*a]\n", "job.yaml:1: an alias that holds itself"),
    whole(
        *("a tag that runs code", "a: !!python/object/apply:os.system [id]\n"),
        "job.yaml:1: not YAML: could not determine a constructor",
    ),
    whole(
        *("a manifest of Windows", MANIFEST.replace("products", "größe").encode("cp1252")),
        "job.yaml:3: not UTF-8 (byte 0xf6); is it Windows-1252?",
    ),
    whole("a UTF-16 manifest", MANIFEST.encode("utf-16"), "job.yaml: is UTF-16; save it as UTF-8"),
    whole("bytes for a manifest", b"\x00\x01\x02PNG", "job.yaml:1: not YAML: the character U+0000"),
]
EXPRESSIONS = [
    edit(
        *("a template that does not parse", TEXT, "{{ item.text }"),
        "job.yaml:11 spec.processor.http.body.text: the template does not parse",
    ),
    edit(
        *("a name that no template knows", TEXT, "{{ itme.text }}"),
        "job.yaml:11 spec.processor.http.body.text: 'itme' is not known here; did you mean 'item'?",
    ),
    edit(
        *("a filter that there is not", TEXT, "{{ item.text | upcase }}"),
        "job.yaml:11 spec.processor.http.body.text: the template does not parse: No filter named",
    ),
    edit(
        *("a field that no item has", TEXT, "{{ item.texd }}"),
        "spec.processor.http.body.text: there is no field 'texd'; did you mean 'text'?",
        "for each of the first 2 items",
    ),
    edit(
        *("a way out of the sandbox", TEXT, "{{ item.__class__ }}"),
        "spec.processor.http.body.text: there is no field '__class__'",
    ),
    option_of_source(
        *("a where that does not parse", "where: \"item.id = 'a'\""),
        "job.yaml:8 spec.source.where: the expression does not parse",
    ),
    option_of_source(
        *("a where on a field that is not there", "where: \"item.ID == 'a'\""),
        "items.jsonl:1: spec.source.where: there is no field 'ID'; did you mean 'id'?",
    ),
    option_of_source(
        *("a where that drops all", "where: \"item.id == 'z'\""),
        "spec.source: no items: the source is empty, or `where` drops all",
    ),
]
PROCESSORS = [
    edit(
        *("an address without a scheme", "URL/products", "localhost:8000/products"),
        "job.yaml:10 spec.processor.http.url: it does not begin with http:// or https://",
    ),
    edit(
        *("a port that cannot be", "URL/products", "http://127.0.0.1:80000/"),
        "job.yaml:10 spec.processor.http.url: not an address (Port out of range",
    ),
    edit(
        *("a password in an address", "URL/products", "http://me:hunter2@127.0.0.1/"),
        "job.yaml:10 spec.processor.http.url: user and password do not belong in an address",
    ),
    option_of_http(
        *("a method that there is not", "method: FETCH"),
        "job.yaml:10 spec.processor.http.method: wanted one of GET, POST,",
    ),
    option_of_http(
        *("a JMESPath that is none", "responsePath: data["),
        "job.yaml:10 spec.processor.http.responsePath: not a JMESPath",
    ),
    option_of_http(
        *("a header that cannot be", 'headers: {"a b": c}'),
        "job.yaml:10 spec.processor.http.headers: 'a b' cannot be the name of a header",
    ),
    option_of_http(
        *("two bodies", "itemsBody: [1]"),
        "job.yaml:10 spec.processor.http.itemsBody: body and itemsBody are both given",
    ),
    processor(
        *("a chat without messages", "openai: {model: m, baseURL: 'URL/v1'}"),
        "job.yaml:9 spec.processor.openai.messages: is missing: operation chat needs it",
    ),
    processor(
        *("no model", "openai: {operation: embeddings, input: x}"),
        "job.yaml:9 spec.processor.openai.model: is missing",
    ),
    processor(
        *("a role that there is not", f"openai: {{{CHAT.replace('user', 'usr')}}}"),
        "job.yaml:9 spec.processor.openai.messages[0].role: wanted one of",
        "did you mean 'user'?",
    ),
    processor(
        *("a schema that is none", f"openai: {{{CHAT}, responseFormat: {{type: strin}}}}"),
        "job.yaml:9 spec.processor.openai.responseFormat.type: not a JSON Schema: ",
    ),
    processor(
        *("a parameter with a field of its own", f"openai: {{{CHAT}, parameters: {{model: n}}}}"),
        "job.yaml:9 spec.processor.openai.parameters.model: is set by spec.processor.openai.model",
    ),
    processor(
        *("no key for OpenAI", "openai: {model: m, operation: embeddings, input: x}"),
        "spec.processor.openai.apiKey: no API key: set the variable OPENAI_API_KEY",
        run_only=True,
    ),
    option_of_http(
        *("no key though one is named", KEY_OF),
        "spec.processor.http.apiKey: no API key: set the variable PENSTOCK_SECRET_SHOP_API_KEY",
        run_only=True,
    ),
]
OUTPUTS = [
    spec(
        *("an output in no known format", "output: {file: {path: out.doc}}"),
        "job.yaml:12 spec.output.file.path: wanted a suffix of .jsonl, .csv, .xlsx, .parquet",
    ),
    spec(
        *("an output below a file", "output: {file: {path: job.yaml/out.csv}}"),
        *("spec.output.file.path: cannot write ", "job.yaml is a file, not a folder"),
    ),
    spec(
        *("an output that is a folder", "output: {file: {path: .}, format: csv}"),
        *("spec.output.file.path: cannot write ", "it is a folder; name a file in it"),
    ),
    spec(
        *("an output in two formats", "output: {file: {path: out.csv}, format: xlsx}"),
        "job.yaml:12 spec.output.format: is xlsx, but the suffix of file.path says csv",
    ),
    spec(
        *("an output to nowhere", "output: {format: csv}"),
        *("job.yaml:12 spec.output: wanted exactly one of file,", "none is given"),
    ),
]
LATER = [
    processor(
        *("a function that is not there", 'python: {entrypoint: "mine:work"}'),
        "spec.processor.python.entrypoint: there is no module mine in",
    ),
    processor(
        *("stages", "stages: [{name: one, processor: {http: {url: URL/}}}]"),
        "job.yaml:9 spec.processor.stages: not supported yet",
    ),
    source(
        *("items of a ConfigMap", "configMap: {name: items, key: items.jsonl}"),
        "spec.source.configMap: is read on a cluster",
    ),
    source(
        *("items in a store without a bucket", 'objectStore: {url: "s3:///*.jsonl"}'),
        "job.yaml:6 spec.source.objectStore.url: names no bucket",
    ),
    source(
        *("items of a server that is not there", "http: {url: 'http://127.0.0.1:1/items'}"),
        *("spec.source.http.url: ", "cannot be reached: Connection refused"),
    ),
    source(
        *("items of a database that nothing names", "postgres: {query: SELECT 1}"),
        "spec.source.postgres.secretRef: no database: set the variable PENSTOCK_SOURCE_DATABASE",
    ),
    source(
        *("files that nothing matches", "file: {path: 'docs/*.pdf'}\n    format: files"),
        *("spec.source.file.path: ", "there is no folder"),
    ),
    spec(*("a budget", "budget: {maxTokens: 1000}"), "job.yaml:12 spec.budget: not supported yet"),
    spec(
        *("one file for all items", 'output: {perItem: "out/results.txt"}'),
        "job.yaml:12 spec.output.perItem: every item would be written to one file",
    ),
    spec(
        *("results to a prefix", 'output: {objectStore: {url: "s3://results/"}}'),
        "job.yaml:12 spec.output.objectStore.url: wanted the path of a file",
    ),
    spec(
        *("results to a table of no database", "output: {postgres: {table: results}}"),
        "spec.output.postgres.secretRef: no database: set the variable PENSTOCK_OUTPUT_DATABASE_",
    ),
]
MANIFESTS: list[Case] = [*SHAPE, *YAML, *EXPRESSIONS, *PROCESSORS, *OUTPUTS, *LATER]
