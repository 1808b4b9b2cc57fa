"""What goes into requests: prompts, lists of items, keys; and how much of it there is."""

from __future__ import annotations

import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import InputError
from penstock.spec.processor import Message
from penstock.spec.template import TemplateError
from penstock.work import failures
from penstock.work.processors.formats import Format, in_order, is_strict, parse_json
from penstock.work.processors.idempotency import idempotency_key
from penstock.work.processors.listing import combine, labels, list_format, take_apart
from penstock.work.processors.prompts import Prompt, Text, render_each
from penstock.work.processors.results import MAX_TOKENS, token_count
from penstock.work.processors.tokens import estimate, estimate_messages, reserved_output
from penstock.work.types import Failure, FailureKind, Output, WorkItem

STRICT = {
    "type": "object",
    "properties": {"size": {"type": "integer"}, "kind": {"enum": ["LED", None]}},
    "required": ["size", "kind"],
    "additionalProperties": False,
}


def item(value: Any, item_id: str = "a", position: int = 0) -> WorkItem:
    return WorkItem(position, item_id, b"\x01\x02", value)


def prompt(*contents: Any) -> Prompt:
    return Prompt([Message(role="user", content=one) for one in contents], None, "w")


def form(given: dict[str, Any] | None = None) -> Format:
    return Format(given, "w")


# prompts


def test_messages_are_rendered_with_the_item_its_id_and_its_place() -> None:
    made = prompt("{{ item.t }} {{ id }} {{ position }}").render(item({"t": "x"}, "é", 7))
    assert made == [{"role": "user", "content": "x é 7"}]


def test_parts_of_a_message_stay_texts() -> None:
    parts = [
        {"type": "text", "text": "{{ item.n }}"},
        {"type": "image_url", "image_url": {"url": "{{ item.url }}", "detail": "low"}},
        {"type": "x", "budget": 5},
    ]
    [message] = prompt(parts).render(item({"n": 5, "url": "http://h/1.jpg"}))
    assert message["content"] == [
        {"type": "text", "text": "5"},
        {"type": "image_url", "image_url": {"url": "http://h/1.jpg", "detail": "low"}},
        {"type": "x", "budget": 5},
    ]


def test_input_stands_for_one_user_message() -> None:
    made = Prompt(None, "about {{ item }}", "w").render(item("x"))
    assert made == [{"role": "user", "content": "about x"}]


def test_a_prompt_without_words_and_one_that_does_not_parse() -> None:
    with pytest.raises(InputError, match="give messages or input"):
        Prompt(None, None, "spec.processor.openai")
    with pytest.raises(InputError, match="give input"):
        Text(None, "spec.processor.openai")
    with pytest.raises(InputError, match=r"^w\.messages\[0\]\.content\[0\]\.text: "):
        prompt([{"type": "text", "text": "{{ item. }}"}])


def test_items_that_lack_a_field_are_told_apart() -> None:
    text = Text("{{ item.t }}", "w")
    items = [item({"t": "x"}), item({"s": 1}), item({"t": "y"})]
    asked, texts, left_out = render_each(text.render, items)
    assert asked == [items[0], items[2]]
    assert texts == ["x", "y"]
    assert left_out[0] is left_out[2] is None
    assert left_out[1] is not None
    assert left_out[1].kind is FailureKind.TEMPLATE
    assert left_out[1].reason == "template: there is no field 't'"
    with pytest.raises(TemplateError):
        text.render(items[1])


# formats


def test_a_bare_schema_and_both_envelopes() -> None:
    chat = {"type": "json_schema", "json_schema": {"name": "n", "schema": STRICT, "strict": False}}
    flat = {"type": "json_schema", "name": "n", "schema": STRICT}
    assert (form(STRICT).schema, form(STRICT).name, form(STRICT).strict) == (STRICT, "answer", True)
    assert (form(chat).schema, form(chat).name, form(chat).strict) == (STRICT, "n", False)
    assert (form(flat).schema, form(flat).name, form(flat).strict) == (STRICT, "n", True)
    assert form({**STRICT, "title": "My answer!"}).name == "My_answer_"
    assert form({"type": "json_object"}).kind == "object"
    assert form({"type": "text"}).kind == form().kind == "text"


def test_wrong_formats() -> None:
    with pytest.raises(InputError, match=r"^w: .*without a schema"):
        form({"type": "json_schema", "json_schema": {"name": "n"}})
    with pytest.raises(InputError, match=r"^w.*not a JSON Schema"):
        form({"type": "objekt"})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a":1}', {"a": 1}),
        (' \n{"a":1}\n', {"a": 1}),
        ('```json\n{"a":1}\n```', {"a": 1}),
        ('```\n{"a":1}```\n', {"a": 1}),
        ('```json\n{"a":"```"}\n```', None),
        ("[1]", [1]),
        ("12345678901234567890123", 12345678901234567890123),
        ("Sure! {}", None),
        ("", None),
        ("```json\n```", None),
        ('{"a":1', None),
    ],
)
def test_json_in_an_answer(text: str, value: Any) -> None:
    parsed = parse_json(text)
    if value is None:
        assert isinstance(parsed, Failure)
        assert (parsed.kind, parsed.reason) == (FailureKind.INVALID, failures.NOT_JSON)
    else:
        assert parsed == Output(value)


def test_answers_are_checked() -> None:
    good = form(STRICT).parse('{"size": 55, "kind": null}')
    bad = form(STRICT).parse('{"size": "55", "kind": null}')
    assert good == Output({"size": 55, "kind": None})
    assert isinstance(bad, Failure)
    assert bad.reason == failures.MISMATCH
    assert bad.message.startswith("size: ")
    assert form().parse("any words") == Output("any words")
    assert form({"type": "json_object"}).parse('{"x":1}') == Output({"x": 1})
    assert isinstance(form({"type": "json_object"}).parse("[]"), Failure)
    assert isinstance(form().check({"not": "a text"}), Failure)


def test_numbers_of_any_size_are_checked() -> None:
    big = form({"type": "object", "properties": {"n": {"type": "integer"}}})
    assert big.parse('{"n": 123456789012345678901234567890}') == Output(
        {"n": 123456789012345678901234567890}
    )


def test_an_answer_too_deep_to_be_checked() -> None:
    deep = form(STRICT).parse('{"size": ' + "[" * 500 + "]" * 500 + "}")
    assert isinstance(deep, Failure)
    assert (deep.kind, deep.reason) == (FailureKind.INVALID, failures.MISMATCH)


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (STRICT, True),
        ({**STRICT, "required": ["size"]}, False),
        ({**STRICT, "additionalProperties": True}, False),
        ({key: value for key, value in STRICT.items() if key != "additionalProperties"}, False),
        ({"type": "array", "items": STRICT}, False),  # the root must be an object
        ({**STRICT, "properties": {**STRICT["properties"], "size": {"not": {}}}}, False),  # type: ignore[dict-item]
        (
            {
                "type": "object",
                "properties": {"l": {"type": "array", "items": {"$ref": "#/$defs/d"}}},
                "required": ["l"],
                "additionalProperties": False,
                "$defs": {"d": STRICT},
            },
            True,
        ),
        (
            {
                "type": "object",
                "properties": {"l": {"anyOf": [{"type": "null"}, {"type": "object"}]}},
                "required": ["l"],
                "additionalProperties": False,
            },
            False,
        ),
        ({"type": "object"}, False),
        (True, False),
    ],
)
def test_strict_only_where_openai_takes_it(schema: Any, strict: bool) -> None:
    assert is_strict(schema) is strict


# several items in one request


def test_common_messages_go_out_once_and_the_rest_under_ids() -> None:
    made = prompt("Be brief.", "Size of {{ item }}?", "Now.")
    prompts = [made.render(item(one)) for one in ("A", "B")]
    combined = combine(prompts, ["x", "y"], form(STRICT))
    assert [message["content"] for message in combined[::2]] == ["Be brief.", "Now."]
    listed = combined[1]["content"]
    assert listed.startswith("There are 2 items below.")
    assert listed.index('Item "x"') < listed.index("Size of A?") < listed.index('Item "y"')
    assert listed.endswith("Size of B?")


def test_items_that_look_alike_are_still_listed() -> None:
    prompts = [prompt("Rules.", "Hello").render(item(1))] * 2
    combined = combine(prompts, ["x", "y"], form())
    assert combined[0]["content"] == "Rules."
    assert combined[1]["content"].count("Hello") == 2


def test_pictures_stay_parts_under_their_ids() -> None:
    made = prompt([{"type": "image_url", "image_url": {"url": "{{ item }}"}}])
    combined = combine([made.render(item(one)) for one in ("u1", "u2")], ["x", "y"], form())
    kinds = [part["type"] for part in combined[0]["content"]]
    assert kinds == ["text", "text", "image_url", "text", "image_url"]


def test_labels() -> None:
    assert labels(["a", "007", "zwölf b"]) == ["a", "007", "zwölf b"]
    for odd in ("", "x" * 65, "a\nb", " a", "a"):
        assert labels(["a", odd]) == ["1", "2"]
    assert labels([f"id{n}" for n in range(251)]) == [str(n) for n in range(1, 252)]


def test_the_schema_of_a_list() -> None:
    schema = list_format(form(STRICT), ["a", "b"])
    entry = schema["properties"]["results"]["items"]
    assert entry["properties"] == {"id": {"type": "string", "enum": ["a", "b"]}, "output": STRICT}
    assert entry["required"] == ["id", "output"]
    assert is_strict(schema)
    text = list_format(form(), ["a"])
    assert text["properties"]["results"]["items"]["properties"]["output"] == {"type": "string"}


def test_references_still_lead_where_they_did() -> None:
    tree = {
        "type": "object",
        "properties": {"leaf": {"$ref": "#/$defs/leaf"}, "sub": {"$ref": "#"}},
        "$defs": {"leaf": {"type": "integer"}},
    }
    whole = form(list_format(form(tree), ["a"]))
    good = {"results": [{"id": "a", "output": {"leaf": 1, "sub": {"leaf": 2}}}]}
    bad = {"results": [{"id": "a", "output": {"leaf": 1, "sub": {"leaf": "two"}}}]}
    assert whole.check(good) == Output(good)
    assert isinstance(whole.check(bad), Failure)


def test_a_list_is_taken_apart_by_id() -> None:
    entries = [
        {"id": "b", "output": "B"},
        {"id": "z", "output": "unknown"},
        {"id": "b", "output": "again"},
        {"id": "c", "output": 3},
        "odd",
        {"id": "d"},
    ]
    taken = take_apart({"results": entries}, ["a", "b", "c", "d"], form().check)
    assert isinstance(taken, list)
    reasons = [one.reason if isinstance(one, Failure) else one.value for one in taken]
    assert reasons == [failures.MISSING, "B", failures.UNEXPECTED, failures.MISSING]
    assert take_apart(entries[:1], ["b"], form().check) == [Output("B")]
    assert take_apart({"results": [{"id": 1, "output": "x"}]}, ["1"], form().check) == [Output("x")]
    useless: list[Any] = [None, {}, {"results": {}}, "x"]
    for odd in useless:
        assert isinstance(take_apart(odd, ["a"], form().check), Failure)


# keys


def test_the_key_of_one_item_can_be_read() -> None:
    assert idempotency_key("products", [item(1, "TV-1")]) == "products/TV-1/0102"
    assert idempotency_key("products", [item(1, "TV-1")], "load") == "products/load/TV-1/0102"
    assert idempotency_key("p", [item(1, "a/b %")]) == "p/a%2Fb%20%25/0102"


@given(st.text(max_size=300), st.text(max_size=300))
def test_keys_are_visible_ascii_and_tell_ids_apart(one: str, other: str) -> None:
    keys = [idempotency_key("r", [item(1, name)]) for name in (one, other)]
    visible = set(string.digits + string.ascii_letters + string.punctuation)
    assert all(set(key) <= visible and len(key) <= 255 for key in keys)
    assert (keys[0] == keys[1]) is (one == other)


def test_several_items_have_a_key_of_their_own() -> None:
    a, b = item(1, "a"), item(1, "b")
    keys = {idempotency_key("r", group) for group in ([a], [b], [a, b], [b, a])}
    assert len(keys) == 4


# tokens


def test_estimates_are_near_what_a_tokenizer_counts() -> None:
    """Counts by o200k_base."""
    counted = [
        ("The quick brown fox jumps over the lazy dog.", 10),
        ("Der Fernseher verfügt über eine Bildschirmdiagonale von 55 Zoll.", 15),
        ("这款电视配备55英寸OLED屏幕", 11),
        ('{"sku":"TV-123456","price":1299.99,"ean":"4006381333931"}', 23),
    ]
    for text, tokens in counted:
        assert estimate(text) == pytest.approx(tokens, rel=0.35)


def test_estimates_at_the_edges() -> None:
    assert estimate("") == 0
    assert estimate("a") == 1
    assert 1 <= estimate("é") <= 2
    assert estimate("\ud800") >= 1
    assert estimate("x" * 4000) > 500


def test_messages_cost_their_frame_and_pictures() -> None:
    text = [{"role": "user", "content": "Hello there"}]
    parts = [{"role": "user", "content": [{"type": "text", "text": "Hello there"}]}]
    image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]}]
    assert estimate_messages(text) == estimate_messages(parts) == estimate("Hello there") + 7
    assert estimate_messages(image) > 500
    assert estimate_messages([{"role": "user", "content": None}]) == 7


def test_output_that_is_set_aside() -> None:
    assert reserved_output({"max_tokens": 5}) == 5
    assert reserved_output({"max_completion_tokens": 7, "max_tokens": 5}) == 7
    assert reserved_output({"max_output_tokens": 9}) == 9
    assert reserved_output({"max_tokens": "many"}) == reserved_output({}) == 0
    assert json.dumps(reserved_output({"max_tokens": True})) == "0"


@pytest.mark.parametrize(
    ("claimed", "counted"),
    [(7, 7), (0, 0), (-3, 0), (None, 0), (True, 0), ("7", 0), (2.5, 0), (10**30, MAX_TOKENS)],
)
def test_token_counts_of_a_server_are_taken_with_care(claimed: Any, counted: int) -> None:
    assert token_count(claimed) == counted


def test_properties_stand_in_the_order_of_required_here_and_on_kubernetes() -> None:
    inner = {
        "type": "object",
        "required": ["zone", "area"],
        "properties": {"zone": {"type": "string"}, "area": {"enum": [{"properties": {"b": 1}}]}},
    }
    schema = {
        "type": "object",
        "required": ["reasons", "answer", "unknown"],
        "properties": {
            "reasons": {"type": "array", "items": inner},
            "answer": {"$ref": "#/$defs/place"},
            "note": {"anyOf": [inner, {"type": "null"}]},
        },
        "$defs": {"place": inner},
    }
    # Kubernetes sorts the fields of an object, and leaves lists as they are.
    sorted_by_name = json.loads(json.dumps(schema, sort_keys=True))
    assert list(sorted_by_name["properties"]) == ["answer", "note", "reasons"]
    ordered = in_order(sorted_by_name)
    assert ordered == in_order(schema) == schema
    assert list(ordered["properties"]) == ["reasons", "answer", "note"]
    for place in (
        ordered["properties"]["reasons"]["items"],
        ordered["properties"]["note"]["anyOf"][0],
        ordered["$defs"]["place"],
    ):
        assert list(place["properties"]) == ["zone", "area"]
    assert json.dumps(Format(sorted_by_name, "here").schema) == json.dumps(ordered)
