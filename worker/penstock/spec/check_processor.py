"""What has to fit together in `spec.processor`, beyond the type of each field."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from penstock.errors import InputError, Mistake
from penstock.spec.json_schema import compile_schema, schema_of
from penstock.spec.processor import (
    HttpProcessor,
    OllamaProcessor,
    OpenAIProcessor,
    Processor,
)

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_EXPRESSION = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
"""A part of an address or header that is only known with the item."""
_OPENAI_PATHS = ("/chat/completions", "/responses", "/embeddings")
_OLLAMA_PATHS = ("/api", "/api/embed", "/api/chat", "/v1")
_OWN_PARAMETERS = {
    "model": "model",
    "messages": "messages",
    "input": "input",
    "response_format": "responseFormat",
    "format": "responseFormat",
    "keep_alive": "keepAlive",
}


def processor_mistakes(processor: Processor) -> Iterator[Mistake]:
    """Everything wrong with the processor but its templates (`uses`)."""
    if processor.openai is not None:
        yield from _openai(processor.openai, "spec.processor.openai")
    if processor.ollama is not None:
        yield from _ollama(processor.ollama, "spec.processor.ollama")
    if processor.http is not None:
        yield from _http(processor.http, "spec.processor.http")


def url_mistake(url: str, where: str) -> Iterator[Mistake]:
    """Whether this is an address that can be called."""
    example = "wanted an address such as https://example.org/v1"
    if url != url.strip() or any(character.isspace() for character in url):
        yield Mistake(where, f"there are blanks in it; {example}")
        return
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        yield Mistake(where, f"not an address ({error}); {example}")
        return
    if parts.scheme not in ("http", "https"):
        yield Mistake(where, f"it does not begin with http:// or https://; {example}")
    elif not host:
        yield Mistake(where, f"it names no host; {example}")
    elif parts.username or parts.password:
        yield Mistake(where, "user and password do not belong in an address; use apiKey or headers")


def _openai(openai: OpenAIProcessor, where: str) -> Iterator[Mistake]:
    yield from _base_url(openai.base_url, f"{where}.baseURL", _OPENAI_PATHS)
    yield from _own_parameters(openai, where)
    operation = openai.operation
    if operation == "chat":
        yield from _chat(openai, where)
    elif operation == "embeddings":
        yield from _embeddings(openai, where)
    elif openai.input is None and not openai.messages:
        yield Mistake(f"{where}.input", "is missing: operation responses needs it, or messages")
    elif openai.input is not None and openai.messages is not None:
        yield Mistake(f"{where}.input", "input and messages are both given: keep one")
    yield from _response_format(openai, where, allowed=operation != "embeddings")


def _ollama(ollama: OllamaProcessor, where: str) -> Iterator[Mistake]:
    yield from _base_url(ollama.base_url, f"{where}.baseURL", _OLLAMA_PATHS)
    yield from _own_parameters(ollama, where)
    operation = ollama.operation
    if operation is None and (ollama.input is None) == (ollama.messages is None):
        yield Mistake(where, "wanted either `input`, to embed it, or `messages`, to chat")
        return
    if operation is None:
        operation = "embeddings" if ollama.messages is None else "chat"
    yield from _chat(ollama, where) if operation == "chat" else _embeddings(ollama, where)
    yield from _response_format(ollama, where, allowed=operation == "chat")


def _http(http: HttpProcessor, where: str) -> Iterator[Mistake]:
    yield from url_mistake(_EXPRESSION.sub("x", http.url).strip(), f"{where}.url")
    plain = {name: _EXPRESSION.sub("x", value) for name, value in http.headers.items()}
    yield from header_mistakes(plain, f"{where}.headers")
    if http.body is not None and http.items_body is not None:
        yield Mistake(
            f"{where}.itemsBody", "body and itemsBody are both given: keep the one that is sent"
        )
    for field, path in (("responsePath", http.response_path), ("idPath", http.id_path)):
        if path is not None:
            yield from jmespath_mistake(path, f"{where}.{field}")


def header_mistakes(headers: Mapping[str, str], where: str) -> Iterator[Mistake]:
    """Whether these headers can be sent."""
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            yield Mistake(where, f"{name[:40]!r} cannot be the name of a header")
        elif not value.isprintable():
            yield Mistake(f"{where}.{name}", "a header is one line of printable text")


def jmespath_mistake(path: str, where: str) -> Iterator[Mistake]:
    """Whether this is a JMESPath."""
    import jmespath

    try:
        jmespath.compile(path)
    except (jmespath.exceptions.JMESPathError, ValueError, RecursionError) as error:
        problem = str(error).splitlines()[0].rstrip(":")
        yield Mistake(where, f"not a JMESPath, such as data.results[0]: {problem}")


def _base_url(url: str, where: str, endings: tuple[str, ...]) -> Iterator[Mistake]:
    yield from url_mistake(url, where)
    for ending in endings:
        if url.rstrip("/").endswith(ending):
            yield Mistake(where, f"leave {ending} away: it is added where it is needed")


def _chat(called: OpenAIProcessor | OllamaProcessor, where: str) -> Iterator[Mistake]:
    if not called.messages:
        yield Mistake(
            f"{where}.messages",
            'is missing: operation chat needs it, such as [{role: user, content: "{{ item }}"}]',
        )
    if called.input is not None:
        yield Mistake(f"{where}.input", "operation chat takes `messages` in place of input")


def _embeddings(called: OpenAIProcessor | OllamaProcessor, where: str) -> Iterator[Mistake]:
    if called.input is None:
        yield Mistake(f"{where}.input", "is missing: operation embeddings needs it")
    if called.messages is not None:
        yield Mistake(f"{where}.messages", "operation embeddings takes `input` in their place")


def _own_parameters(called: OpenAIProcessor | OllamaProcessor, where: str) -> Iterator[Mistake]:
    for name in called.parameters:
        place = f"{where}.parameters.{name}"
        if name in _OWN_PARAMETERS:
            yield Mistake(place, f"is set by {where}.{_OWN_PARAMETERS[name]}")
        elif name == "stream" and called.parameters[name]:
            yield Mistake(place, "answers are read whole; leave it away")


def _response_format(
    called: OpenAIProcessor | OllamaProcessor, where: str, *, allowed: bool
) -> Iterator[Mistake]:
    given, place = called.response_format, f"{where}.responseFormat"
    if given is None:
        return
    if not allowed:
        yield Mistake(place, "embeddings are numbers, they have no format; remove it")
        return
    schema = schema_of(given)
    if schema is not None:
        if schema is not given:
            place += ".json_schema.schema" if "json_schema" in given else ".schema"
        try:
            compile_schema(schema, place)
        except InputError as error:
            yield from error.mistakes
    elif given.get("type") == "json_schema":
        yield Mistake(place, "with type json_schema, wanted json_schema: {name: …, schema: {…}}")
