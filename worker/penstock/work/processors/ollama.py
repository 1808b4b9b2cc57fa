"""Ollama's own API: /api/embed and /api/chat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from penstock.spec.job import BatchJob
from penstock.spec.processor import OllamaProcessor
from penstock.work import failures
from penstock.work.batch import item_limit
from penstock.work.processors.completions import Completions, Said
from penstock.work.processors.embeddings import Embeddings
from penstock.work.processors.formats import Format
from penstock.work.processors.prompts import Prompt, Rendered, Text
from penstock.work.processors.results import token_count
from penstock.work.processors.server import ModelServer
from penstock.work.processors.transport import Transport
from penstock.work.types import Failure, Processor, Usage

WHERE = "spec.processor.ollama"


def build(job: BatchJob, ollama: OllamaProcessor, transport: Transport) -> Processor:
    """The processor of an `ollama` job. Raises InputError when the manifest makes no sense."""
    operation = ollama.operation or ("chat" if ollama.messages else "embeddings")
    server = ModelServer(
        transport,
        ollama.base_url,
        "/api/chat" if operation == "chat" else "/api/embed",
        api_key=None,
        result_set=job.result_set,
        where=WHERE,
    )
    static: dict[str, Any] = {"model": ollama.model, **ollama.parameters}
    if ollama.keep_alive is not None:
        static["keep_alive"] = _keep_alive(ollama.keep_alive)
    max_items = item_limit(job.spec)
    if operation == "embeddings":
        text = Text(ollama.input, WHERE)
        return Embeddings(server, EmbedDialect(static), text, max_items)
    prompt = Prompt(ollama.messages, ollama.input, WHERE)
    form = Format(ollama.response_format, f"{WHERE}.responseFormat")
    options = ollama.parameters.get("options") or {}
    reserve = {"max_tokens": options.get("num_predict")} if isinstance(options, dict) else {}
    return Completions(server, ChatDialect(static), prompt, form, reserve, max_items)


class ChatDialect:
    """POST /api/chat. static: what is the same in every request."""

    def __init__(self, static: dict[str, Any]) -> None:
        self._static = {**static, "stream": False}

    def request(
        self, messages: Rendered, form: Format, schema: dict[str, Any] | None
    ) -> dict[str, Any]:
        """The body."""
        body = {**self._static, "messages": messages}
        wanted = schema or form.schema or ("json" if form.kind == "object" else None)
        return body if wanted is None else {**body, "format": wanted}

    def said(self, body: dict[str, Any]) -> Said | Failure:
        """The text of the message."""
        message = body.get("message")
        text = message.get("content") if isinstance(message, dict) else None
        if not isinstance(text, str):
            return failures.invalid(failures.UNEXPECTED, "there is no message in it")
        return Said(text, cut_off=body.get("done_reason") == "length")

    def usage(self, body: dict[str, Any]) -> Usage:
        """Tokens of the call."""
        return _usage(body)


class EmbedDialect:
    """POST /api/embed. static: what is the same in every request."""

    def __init__(self, static: dict[str, Any]) -> None:
        self._static = static

    def request(self, texts: Sequence[str]) -> dict[str, Any]:
        """The body for these texts."""
        return {**self._static, "input": list(texts)}

    def vectors(self, body: dict[str, Any], count: int) -> list[Any]:
        """In the order of the texts."""
        vectors = body.get("embeddings")
        if not isinstance(vectors, list):
            raise ValueError("there are no embeddings in it")
        if len(vectors) != count:
            raise ValueError(f"{len(vectors)} embeddings for {count} texts")
        return vectors

    def usage(self, body: dict[str, Any]) -> Usage:
        """Tokens of the call."""
        return _usage(body)


def _usage(body: dict[str, Any]) -> Usage:
    return Usage(token_count(body.get("prompt_eval_count")), token_count(body.get("eval_count")))


def _keep_alive(text: str) -> str | int:
    """A number without a unit means seconds, and has to be sent as a number: -1 is for ever."""
    try:
        return int(text)
    except ValueError:
        return text
