"""Templates and expressions: what items give them, what they write, how they fail."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import jsons
from penstock.errors import InputError
from penstock.spec.template import Expression, JsonTemplate, Template, TemplateError

ITEM = {
    "title": "Télé <b> & 'x'",
    "items": 3,
    "keys": None,
    "values": [1, 2],
    "count": 7,
    "price": 1.5,
    "sold": True,
    "nested": {"get": "g", "deep": {"x": 1}},
    "Code tiers": "00123",
}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False,
    allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def rendered(text: str, item: object = ITEM) -> str:
    return Template(text, "spec.x").render(item=item, id="a-1", position=4)


def failure(text: str, item: object = ITEM) -> str:
    with pytest.raises(TemplateError) as caught:
        rendered(text, item)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ item.title }}", "Télé <b> & 'x'"),
        ("{{ item.items }} {{ item.count }} {{ item.values }}", "3 7 [1,2]"),
        ("[{{ item.keys }}]", "[]"),
        ("{{ item.nested.get }}", "g"),
        ("{{ item.nested }}", '{"get":"g","deep":{"x":1}}'),
        ("{{ item['Code tiers'] }}", "00123"),
        ("{{ item.sold }} {{ item.price }}", "true 1.5"),
        ("{{ id }} {{ position }}", "a-1 4"),
        ("{{ item.title | tojson }}", "\"Télé <b> & 'x'\""),
        ("{{ item.values | map('string') | tojson }}", '["1","2"]'),
        ("{{ item.nested.deep | tojson(indent=1) }}", '{\n "x": 1\n}'),
        ("{{ item.colour | default('none') }}", "none"),
        ("{% if item.colour is defined %}x{% endif %}-", "-"),
        ("{% for k, v in item.nested.deep.items() %}{{ k }}={{ v }}{% endfor %}", "x=1"),
        ("{{ '%.2f' % item.price }} {{ '{:.1f}'.format(item.price) }}", "1.50 1.5"),
        ("{{ 'x' | center(3) }}|{{ '%s' | format(1) }}", " x |1"),
        ("{{ item.price * 2 }} {{ 2 ** 10 }} {{ 7 % 4 }} {{ '-' * 3 }}", "3.0 1024 3 ---"),
        ("no template\n", "no template\n"),
    ],
)
def test_what_is_written(text: str, expected: str) -> None:
    assert rendered(text) == expected


def test_items_that_are_no_objects() -> None:
    assert rendered("{{ item }}", "text") == "text"
    assert rendered("{{ item[1] }}", ["a", "b"]) == "b"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ item.titel }}", "spec.x: there is no field 'titel'; did you mean 'title'?"),
        ("{{ item['titel'] }}", "did you mean 'title'?"),
        ("{{ item.colour }}", "there are: title, items"),
        ("{{ item.nested.deep.y }}", "there is no field 'y'; there are: x"),
        ("{{ item.colour.name }}", "there is no field 'colour'"),
        ("{{ item.values[5] }}", "there is no element 5: there are 2"),
        ("{{ item.price.cents }}", "no field 'cents': the value is a number"),
        ("{{ item.sold.x }}", "the value is true or false"),
        ("{{ itm }}", "'itm' is not known here; did you mean 'item'?"),
        ("{{ items }}", "'items' is not known here"),
        ("{{ item.colour | tojson }}", "there is no field 'colour'"),
        ("{{ item.title.lower }}", "'lower' is a method"),
        ("{{ item.pop('title') }}", "no field 'pop'"),
        ("{{ item.price / 0 }}", "division"),
        ("{{ item.title + 1 }}", "spec.x: "),
    ],
)
def test_what_an_item_lacks_is_named(text: str, message: str) -> None:
    assert message in failure(text)


def test_an_empty_item_is_called_empty() -> None:
    assert "the object is empty" in failure("{{ item.a }}", {})


def test_the_reason_is_the_same_for_items_with_other_fields() -> None:
    reasons = set()
    for item in ({"title": 1}, {"name": 2}, {}):
        with pytest.raises(TemplateError) as caught:
            rendered("{{ item.titel }}", item)
        reasons.add(caught.value.reason)
    assert reasons == {"there is no field 'titel'"}


@pytest.mark.parametrize(
    "text",
    [
        "{{ 'a' * 10**9 }}",
        "{{ 10**9 * 'a' }}",
        "{{ [1] * 10**8 }}",
        "{{ 9 ** 999999 }}",
        "{{ (2 ** 4000) * (2 ** 4000) }}",
        "{{ '%999999999d' % 1 }}",
        "{{ '%*d' % (999999999, 1) }}",
        "{{ '%999999999d' | format(1) }}",
        "{{ '{:999999999d}'.format(1) }}",
        "{{ 'x' | center(999999999) }}",
        "{{ 'x'.ljust(999999999) }}",
        "{% for n in range(999999999) %}{% endfor %}",
        "{{ ''.__class__.__mro__ }}",
        "{{ item.__class__ }}",
        "{{ item.values.append(3) }}",
        "{{ [].append.__globals__ }}",
    ],
)
def test_what_the_sandbox_keeps_out(text: str) -> None:
    assert failure(text)
    assert ITEM["values"] == [1, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ item.title", "does not parse"),
        ("one\ntwo {{ item. }}", "line 2 of it"),
        ("{% if %}", "does not parse"),
        ("{{ item | shout }}", "shout"),
        ("{% include 'a' %}", "other templates cannot be loaded"),
        ("{% import 'a' as b %}", "other templates cannot be loaded"),
        ("{{ " + "1" * 5000 + " }}", "does not parse"),
        ("{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}", "does not parse"),
    ],
)
def test_templates_that_do_not_parse(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Template(text, "spec.processor.http.body")
    assert caught.value.mistakes[0].where == "spec.processor.http.body"


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("item.price > 1", True),
        ("item.title == 'x' or item.items == 3", True),
        ("item.keys", False),
        ("'Télé' in item.title", True),
        ("item.colour is defined", False),
        ("item.values", True),
    ],
)
def test_expressions(text: str, holds: bool) -> None:
    assert Expression(text, "spec.source.where").test(ITEM) is holds


@pytest.mark.parametrize("text", ["item.colour", "item.colour == 'red'", "item.title < 3",
                                  "item.title.lower"])  # fmt: skip
def test_expressions_that_cannot_be_told(text: str) -> None:
    with pytest.raises(TemplateError, match=r"spec\.source\.where: "):
        Expression(text, "spec.source.where").test(ITEM)


@pytest.mark.parametrize("text", ["", "item.a ==", "1 2", "{{ item.a }}", "item.a; item.b"])
def test_expressions_that_do_not_parse(text: str) -> None:
    with pytest.raises(InputError, match="the expression does not parse"):
        Expression(text, "spec.source.where")


def test_the_value_of_an_expression() -> None:
    assert Expression("item.values", "w").value(item=ITEM) == [1, 2]


def test_an_object_of_templates_keeps_types_where_it_can() -> None:
    template = JsonTemplate(
        {
            "number": "{{ item.price }}",
            "text": "{{ item.price }} EUR",
            "list": ["{{ item.values }}\n", "plain", 3, None, True],
            "null": "{{- item.keys -}}",
            "{{ key }}": "{{ item.nested.deep }}",
            "two": "{{ item.items }}{{ item.count }}",
            "mapped": "{{ item.values | map('string') }}",
            "braces": "{{ '}}' }}",
        },
        "spec.body",
    )
    assert template.render(item=ITEM) == {
        "number": 1.5,
        "text": "1.5 EUR",
        "list": [[1, 2], "plain", 3, None, True],
        "null": None,
        "{{ key }}": {"x": 1},
        "two": "37",
        "mapped": ["1", "2"],
        "braces": "}}",
    }
    assert len(template.parts) == 8


def test_an_object_of_templates_names_the_place_of_what_is_wrong() -> None:
    with pytest.raises(InputError, match=r"spec\.body\.a\[1\]: "):
        JsonTemplate({"a": [1, "{{ item. }}"]}, "spec.body")
    with pytest.raises(TemplateError, match=r"spec\.body\.a\[1\]: .*'titel'"):
        JsonTemplate({"a": [1, "{{ item.titel }}"]}, "spec.body").render(item=ITEM)


def test_what_a_template_uses() -> None:
    template = Template(
        "{{ item.a }}{{ item['b'] }}{{ item.c.d | default('') }}{{ nothing }}{{ range(2) }}"
        "{% for x in item.e %}{{ x.f }}{% endfor %}{{ items[0].g }}",
        "w",
    )
    assert template.fields == frozenset("abce")
    assert template.names == {"item", "items", "nothing"}


@given(JSON)
def test_tojson_is_exact(value: object) -> None:
    assert json.loads(rendered("{{ item | tojson }}", value)) == json.loads(jsons.dumps(value))


@given(JSON)
def test_a_string_that_is_one_expression_gives_the_value(value: object) -> None:
    assert JsonTemplate("{{ item.x }}", "w").render(item={"x": value}) == value


@given(st.text(), JSON)
def test_any_template_over_any_item_fails_in_the_known_ways(text: str, item: object) -> None:
    for source in (text, f"{{{{ {text} }}}}", f"{{{{ item.{text} }}}}", f"{{% {text} %}}"):
        try:
            written = rendered(source, item)
        except (InputError, TemplateError):
            continue
        assert isinstance(written, str)
