"""A manifest to start from, made from the columns of the data it is for. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from penstock.spec.names import as_job_name

_ID_NAMES = (
    "id", "uuid", "guid", "sku", "ean", "gtin", "isbn", "asin", "key", "code", "handle", "slug",
    "itemid", "productid", "itemcode", "productcode", "number", "reference", "ref", "name",
)  # fmt: skip
_ID_ENDING = re.compile(
    r"(?:[ _-](?:id|uuid|key|code)|(?<=[a-z])(?:Id|ID|Code))$|^[Cc]ode[ _-]", re.ASCII
)
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_COMPRESSED = (".gz", ".zst")
_OUTPUT_SUFFIX = {".csv": ".csv", ".xlsx": ".xlsx", ".parquet": ".parquet"}
_MOST_FIELDS = 5

_MANIFEST = """\
# A first manifest for {data}. `penstock run` with `--preview 3` tries it on three items and
# stores nothing.
apiVersion: penstock.dev/v1alpha1
kind: BatchJob
metadata:
  name: {name}
spec:
  source:
    file:
      path: {path}  # relative to this file
{id_lines}
    # where: "{where}"  # only these items
    # limit: 20  # only the first rows, to begin with

  processor:
    openai:  # the key comes from the variable OPENAI_API_KEY
      # baseURL: http://localhost:8000/v1  # any server that speaks the same API
      model: gpt-5-nano
      messages:
        - role: user
          content: |-
            Describe this item in one sentence, and name a category for it.

{fields}
      responseFormat:  # the answer is checked against this; its fields become columns
        type: object
        properties:
          description: {{type: string}}
          category: {{type: string}}
        required: [description, category]
        additionalProperties: false

  # rateLimit:  # what the provider allows; found out when it is not given
  #   requestsPerMinute: 500
  #   tokensPerMinute: 200000
  # price: {{inputPerMillion: 0, outputPerMillion: 0}}  # for the cost in the summary

  output:
    file:
      path: {output}
"""


def manifest_for(data: Path, columns: Sequence[str], sample: Mapping[str, Any]) -> str:
    """A commented manifest for this file.

    data: its path, relative to where the manifest will be. columns: the names of its fields, in
    their order. sample: one of its items.
    """
    id_field = guess_id(columns, sample)
    if id_field is None:
        id_lines = "    # idField: id  # a field that identifies an item; else a hash of all of it"
    else:
        id_lines = f"    idField: {_quoted(id_field)}  # results are kept, and skipped, by this"
    shown = _shown_fields(columns, sample, id_field)
    fields = [f"{_one_line(name)}: {{{{ {_reference(name)} }}}}" for name in shown]
    plain = next((name for name in shown if _PLAIN_NAME.fullmatch(name)), "tag")
    return _MANIFEST.format(
        data=_one_line(data.name),
        name=_quoted(as_job_name(_stem(data)) or "job"),
        path=_quoted(data.as_posix()),
        output=_quoted(_output(data).as_posix()),
        id_lines=id_lines,
        where=f"item.{plain} == 'something'",
        fields="\n".join(f"            {line}" for line in fields or ["{{ item }}"]),
    )


def guess_id(columns: Sequence[str], sample: Mapping[str, Any]) -> str | None:
    """The column that most likely identifies an item, None when none looks like it."""
    able = [name for name in columns if name.strip() and _identifies(sample.get(name))]
    by_plain: dict[str, str] = {}
    for name in able:
        by_plain.setdefault(re.sub(r"[^a-z0-9]", "", name.lower()), name)
    for wanted in _ID_NAMES:
        if wanted in by_plain:
            return by_plain[wanted]
    return next((name for name in able if _ID_ENDING.search(name)), None)


def _identifies(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and str(value) != ""


def _shown_fields(
    columns: Sequence[str], sample: Mapping[str, Any], id_field: str | None
) -> list[str]:
    """A few columns worth telling a model about, in their order: texts first of all."""
    others = [name for name in dict.fromkeys(columns) if name != id_field and _one_line(name)]
    texts = [name for name in others if isinstance(sample.get(name), str) and sample[name].strip()]
    return (texts or others)[:_MOST_FIELDS]


def _reference(name: str) -> str:
    if _PLAIN_NAME.fullmatch(name):
        return f"item.{name}"
    return f"item[{_escaped(name)}]"


def _quoted(text: str) -> str:
    """As YAML: bare where nothing can be misread, else in quotes, as JSON has them."""
    if re.fullmatch(r"[A-Za-z_][\w./-]*", text, re.ASCII) and text.lower() not in (
        "y", "n", "yes", "no", "on", "off", "true", "false", "null",
    ):  # fmt: skip
        return text
    return _escaped(text)


def _escaped(text: str) -> str:
    """In double quotes, with escapes that JSON, YAML and Jinja2 all read in the same way."""
    return "".join(
        character
        if character.isprintable()
        else f"\\u{ord(character):04x}"
        if ord(character) < 0x10000
        else f"\\U{ord(character):08x}"
        for character in json.dumps(text, ensure_ascii=False)
    )


def _one_line(text: str) -> str:
    """A name as it can stand in a comment or in a prompt: printable, without template marks."""
    shown = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(re.sub(r"[{}%#]", " ", shown).split())


def _stem(data: Path) -> str:
    name = data.name
    for suffix in _COMPRESSED:
        name = name.removesuffix(suffix)
    return Path(name).stem if name else ""


def _output(data: Path) -> Path:
    name = data.name
    for suffix in _COMPRESSED:
        name = name.removesuffix(suffix)
    kind = _OUTPUT_SUFFIX.get(Path(name).suffix.lower(), ".jsonl")
    return data.parent / f"{_stem(data) or 'job'}-results{kind}"
