"""OpenAI's APIs, and the many servers that speak them: chat completions, responses, embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from penstock.spec.job import BatchJob
from penstock.spec.processor import OpenAIProcessor
from penstock.work import failures
from penstock.work.batch import item_limit
from penstock.work.processors.completions import Completions, Said
from penstock.work.processors.embeddings import Embeddings
from penstock.work.processors.formats import Format
from penstock.work.processors.listing import NAME as LISTED
from penstock.work.processors.prompts import Prompt, Rendered, Text
from penstock.work.processors.results import token_count
from penstock.work.processors.server import ModelServer
from penstock.work.processors.transport import Transport
from penstock.work.types import Failure, Processor, Usage

WHERE = "spec.processor.openai"

_PATHS = {
    "chat": "/chat/completions",
    "responses": "/responses",
    "embeddings": "/embeddings",
}


def build(
    job: BatchJob, openai: OpenAIProcessor, transport: Transport, api_key: str | None
) -> Processor:
    """The processor of an `openai` job. Raises InputError when the manifest makes no sense."""
    server = ModelServer(
        transport,
        openai.base_url,
        _PATHS[openai.operation],
        api_key=api_key,
        result_set=job.result_set,
        where=WHERE,
    )
    static = {"model": openai.model, **openai.parameters}
    max_items = item_limit(job.spec)
    if openai.operation == "embeddings":
        text = Text(openai.input, WHERE)
        return Embeddings(server, EmbeddingsDialect(static), text, max_items)
    dialect = ChatDialect(static) if openai.operation == "chat" else ResponsesDialect(static)
    prompt = Prompt(openai.messages, openai.input, WHERE)
    form = Format(openai.response_format, f"{WHERE}.responseFormat")
    return Completions(server, dialect, prompt, form, openai.parameters, max_items)


class ChatDialect:
    """POST /chat/completions. static: what is the same in every request."""

    def __init__(self, static: dict[str, Any]) -> None:
        self._static = static

    def request(
        self, messages: Rendered, form: Format, schema: dict[str, Any] | None
    ) -> dict[str, Any]:
        """The body."""
        body = {**self._static, "messages": messages}
        wanted = _format(form, schema)
        if wanted is None:
            return body
        if wanted["type"] == "json_schema":
            del wanted["type"]
            wanted = {"type": "json_schema", "json_schema": wanted}
        return {**body, "response_format": wanted}

    def said(self, body: dict[str, Any]) -> Said | Failure:
        """The text of the first choice."""
        choice = next(iter(_dicts(body.get("choices"))), {})
        message = choice.get("message")
        if not isinstance(message, dict):
            return failures.invalid(failures.UNEXPECTED, "there is no message in it")
        if message.get("refusal"):
            return failures.rejected(failures.REFUSED, failures.clean(str(message["refusal"])))
        finish = choice.get("finish_reason")
        if finish == "content_filter":
            return failures.rejected(failures.FILTERED)
        text = _joined(message.get("content"), "text")
        cut_off = finish == "length"
        if text is None and not cut_off:
            return failures.invalid(failures.UNEXPECTED, f"no text; finish_reason: {finish}")
        return Said(text or "", cut_off)

    def usage(self, body: dict[str, Any]) -> Usage:
        """Tokens of the call."""
        return _usage(body, "prompt_tokens", "completion_tokens")


class ResponsesDialect:
    """POST /responses. static: what is the same in every request."""

    def __init__(self, static: dict[str, Any]) -> None:
        self._static = static

    def request(
        self, messages: Rendered, form: Format, schema: dict[str, Any] | None
    ) -> dict[str, Any]:
        """The body."""
        body = {**self._static, "input": messages}
        wanted = _format(form, schema)
        if wanted is not None:
            body["text"] = {**self._static.get("text", {}), "format": wanted}
        return body

    def said(self, body: dict[str, Any]) -> Said | Failure:
        """The text of all messages in the output; reasoning and tool calls are passed over."""
        parts = [
            part
            for entry in _dicts(body.get("output"))
            if entry.get("type") == "message"
            for part in _dicts(entry.get("content"))
        ]
        for part in parts:
            if part.get("type") == "refusal":
                refusal = failures.clean(str(part.get("refusal")))
                return failures.rejected(failures.REFUSED, refusal)
        details = body.get("incomplete_details")
        incomplete = details.get("reason") if isinstance(details, dict) else None
        if incomplete == "content_filter":
            return failures.rejected(failures.FILTERED)
        cut_off = incomplete == "max_output_tokens"
        text = _joined(parts, "text")
        if text is None and not cut_off:
            status = body.get("status")
            return failures.invalid(failures.UNEXPECTED, f"no text; status: {status}")
        return Said(text or "", cut_off)

    def usage(self, body: dict[str, Any]) -> Usage:
        """Tokens of the call."""
        return _usage(body, "input_tokens", "output_tokens")


class EmbeddingsDialect:
    """POST /embeddings. static: what is the same in every request."""

    def __init__(self, static: dict[str, Any]) -> None:
        self._static = {**static, "encoding_format": "float"}

    def request(self, texts: Sequence[str]) -> dict[str, Any]:
        """The body for these texts."""
        return {**self._static, "input": list(texts)}

    def vectors(self, body: dict[str, Any], count: int) -> list[Any]:
        """By `index`, which servers need not keep in order."""
        data = body.get("data")
        if not isinstance(data, list):
            raise ValueError("there is no data in it")
        vectors: list[Any] = [None] * count
        for place, entry in enumerate(_dicts(data)):
            index = entry.get("index", place)
            if isinstance(index, int) and 0 <= index < count and vectors[index] is None:
                vectors[index] = entry.get("embedding")
        return vectors

    def usage(self, body: dict[str, Any]) -> Usage:
        """Tokens of the call."""
        return _usage(body, "prompt_tokens", "completion_tokens")


def _format(form: Format, schema: dict[str, Any] | None) -> dict[str, Any] | None:
    """`text.format` of the responses API; None where nothing but text is asked for."""
    if schema is not None:
        return {"type": "json_schema", "name": LISTED, "schema": schema, "strict": form.strict}
    if form.kind == "object":
        return {"type": "json_object"}
    if form.schema is None:
        return None
    return {"type": "json_schema", "name": form.name, "schema": form.schema, "strict": form.strict}


def _joined(content: Any, key: str) -> str | None:
    """A text, or the texts of a list of parts; None when there is none."""
    if isinstance(content, str):
        return content
    texts = [part[key] for part in _dicts(content) if isinstance(part.get(key), str)]
    return "".join(texts) if texts else None


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _usage(body: dict[str, Any], prompt: str, completion: str) -> Usage:
    usage = body.get("usage")
    if not isinstance(usage, dict):
        return Usage()
    return Usage(token_count(usage.get(prompt)), token_count(usage.get(completion)))
