"""Templates and expressions over items: compiled once, rendered for every item.

`Template` makes a text, `Expression` a truth value (`source.where`), `JsonTemplate` an object
whose strings are templates (an HTTP body). They all run in the sandbox and fail in one way:
`InputError` at the manifest's path when the template itself is wrong, `TemplateError` when it
cannot be rendered for one item.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

from jinja2 import Template as JinjaTemplate
from jinja2 import TemplateSyntaxError, UndefinedError, meta, nodes
from jinja2.parser import Parser

from penstock.errors import InputError, PenstockError
from penstock.spec.sandbox import Sandbox, plain_value

_MARKS = ("{{", "{%", "{#")
_RESULT = "result"
_LOADING = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)


class TemplateError(PenstockError):
    """A template that cannot be rendered for this item.

    message: with the manifest's path and the nearest field. reason: short and the same for
        all items that fail in this way, fit for grouping.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class _Compiled:
    """What templates and expressions share: parsing with messages, what is used, running."""

    def __init__(self, text: str, where: str, *, expression: bool) -> None:
        self.text = text
        self.where = where
        self._template, self._ast = _compile(text, where, expression=expression)

    @property
    def names(self) -> frozenset[str]:
        """The names it needs to be given: of `item`, `items`, `id`, `position`, or a mistake."""
        undeclared = meta.find_undeclared_variables(self._ast)
        return frozenset(undeclared) - frozenset(_sandbox().globals)

    @property
    def fields(self) -> frozenset[str]:
        """The X of every `item.X` and `item["X"]` in it."""
        return frozenset(_fields(self._ast))

    def _run(self, finish: Callable[[Any, Iterable[str]], Any], names: dict[str, Any]) -> Any:
        template = self._template
        context = template.new_context(names)
        try:
            return finish(context, template.root_render_func(context))
        except UndefinedError as error:
            raise self._error(str(error), str(error).split(";")[0]) from None
        except Exception as error:
            # Anything can go wrong in an expression over data of any shape; all of it means
            # that this item cannot be rendered, never that the worker is broken.
            raise self._error(str(error) or type(error).__name__, type(error).__name__) from None

    def _error(self, message: str, reason: str) -> TemplateError:
        return TemplateError(f"{self.where}: {message}" if self.where else message, reason)


class Template(_Compiled):
    """A text with `{{ item.field }}` in it. InputError when it does not parse."""

    def __init__(self, text: str, where: str) -> None:
        super().__init__(text, where, expression=False)

    def render(self, **names: Any) -> str:
        """The text for these names (`item=…`, `id=…`, `position=…`, `items=…`).

        Text is written as it is, null as nothing, objects, lists, true and false as JSON.
        Raises TemplateError.
        """
        text: str = self._run(_joined, names)
        return text


class Expression(_Compiled):
    """One Jinja2 expression, without braces. InputError when it does not parse."""

    def __init__(self, text: str, where: str) -> None:
        super().__init__(text, where, expression=True)

    def value(self, **names: Any) -> Any:
        """What it evaluates to, as a JSON value. Raises TemplateError."""
        return self._run(_result, names)

    def test(self, item: Any) -> bool:
        """Whether it holds for this item. Raises TemplateError, also for a missing field."""
        return bool(self._run(_result, {"item": item}))


class JsonTemplate:
    """A JSON value whose strings (not the keys) are templates. InputError when one is wrong.

    A string that is exactly one `{{ expression }}`, blanks around it aside, becomes the value
    itself: `"{{ item.price }}"` a number, `"{{ item.tags }}"` a list. Any other string becomes
    text.
    """

    def __init__(self, value: Any, where: str) -> None:
        self.parts: list[Template | Expression] = []
        self._render = self._build(value, where)

    def render(self, **names: Any) -> Any:
        """The value for these names. Raises TemplateError."""
        return self._render(names)

    def _build(self, value: Any, where: str) -> Callable[[dict[str, Any]], Any]:
        if isinstance(value, dict):
            members = [(key, self._build(one, f"{where}.{key}")) for key, one in value.items()]
            return lambda names: {key: render(names) for key, render in members}
        if isinstance(value, list):
            elements = [self._build(one, f"{where}[{n}]") for n, one in enumerate(value)]
            return lambda names: [render(names) for render in elements]
        if isinstance(value, str) and any(mark in value for mark in _MARKS):
            inner = _only_expression(value, where)
            if inner is not None:
                expression = Expression(inner, where)
                self.parts.append(expression)
                return lambda names: expression.value(**names)
            template = Template(value, where)
            self.parts.append(template)
            return lambda names: template.render(**names)
        return lambda _: value


@cache
def _sandbox() -> Sandbox:
    return Sandbox()


def _compile(text: str, where: str, *, expression: bool) -> tuple[JinjaTemplate, nodes.Template]:
    what = "expression" if expression else "template"
    try:
        tree = _expression_tree(text) if expression else _sandbox().parse(text)
        for forbidden in tree.find_all(_LOADING):
            raise TemplateSyntaxError("other templates cannot be loaded", forbidden.lineno)
        return _sandbox().from_string(tree), tree
    except TemplateSyntaxError as error:
        place = f" (line {error.lineno} of it)" if "\n" in text.strip() else ""
        raise InputError.at(where, f"the {what} does not parse{place}: {error.message}") from None
    except Exception as error:
        # The parser and Python's compiler have limits of their own: depth, size of a number.
        raise InputError.at(where, f"the {what} does not parse: {error}") from None


def _expression_tree(text: str) -> nodes.Template:
    """A template that only assigns the expression to a name that can be read afterwards."""
    sandbox = _sandbox()
    parser = Parser(sandbox, text, state="variable")
    value = parser.parse_expression()
    if not parser.stream.eos:
        raise TemplateSyntaxError("something follows the expression", parser.stream.current.lineno)
    value.set_environment(sandbox)
    body = [nodes.Assign(nodes.Name(_RESULT, "store"), value, lineno=1)]
    tree = nodes.Template(body, lineno=1)
    tree.set_environment(sandbox)
    return tree


def _only_expression(text: str, where: str) -> str | None:
    """What stands between the braces of a text that is nothing but one `{{ … }}`."""
    text = text.strip()
    if not (text.startswith("{{") and text.endswith("}}")):
        return None
    _, tree = _compile(text, where, expression=False)
    match tree.body:
        case [nodes.Output(nodes=[one])] if not isinstance(one, nodes.TemplateData):
            inner = text[2:-2]
            return inner.removeprefix("-").removesuffix("-")
    return None


def _joined(_: Any, parts: Iterable[str]) -> str:
    return "".join(parts)


def _result(context: Any, parts: Iterable[str]) -> Any:
    deque(parts, maxlen=0)
    return plain_value(context.vars[_RESULT])


def _fields(tree: nodes.Node) -> Iterator[str]:
    for node in tree.find_all((nodes.Getattr, nodes.Getitem)):
        match node:
            case nodes.Getattr(node=nodes.Name(name="item"), attr=str(name)):
                yield name
            case nodes.Getitem(node=nodes.Name(name="item"), arg=nodes.Const(value=str(name))):
                yield name
