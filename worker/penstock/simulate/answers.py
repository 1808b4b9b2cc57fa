"""What each endpoint answers: the same request always gets the same answer.

Pure. Every function takes the parsed body and gives an `Answer`, or raises `Refusal` (400) when
the body is not what the endpoint takes. Tokens are counted as a quarter of the characters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from typing import Any

from penstock import jsons
from penstock.simulate import schema as schemas
from penstock.simulate.refusals import invalid
from penstock.simulate.vectors import embed, packed

CREATED = 1_700_000_000  # a fixed date: answers depend on the request alone


@dataclass(frozen=True, slots=True)
class Context:
    """What an answer depends on besides the body.

    keep: asked for each item of an answer to several; False leaves it out.
    """

    dimensions: int = 64
    keep: Callable[[], bool] = lambda: True


@dataclass(frozen=True, slots=True)
class Answer:
    """A good answer. value: the JSON body. lines: it goes out as newline-delimited JSON."""

    value: Any
    prompt_tokens: int = 0
    completion_tokens: int = 0
    lines: bool = False


def chat(body: dict[str, Any], context: Context) -> Answer:
    """POST /v1/chat/completions."""
    _no_streaming(body)
    messages = _messages(body)
    wanted = body.get("response_format")
    content, seed = _complete(messages, _wanted(wanted, within="json_schema"), context)
    prompt, completion = _tokens(_text(messages)), _tokens(content)
    value = {
        "id": f"chatcmpl-{seed:032x}",
        "object": "chat.completion",
        "created": CREATED,
        "model": body.get("model"),
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        },
    }
    return Answer(value, prompt, completion)


def responses(body: dict[str, Any], context: Context) -> Answer:
    """POST /v1/responses."""
    _no_streaming(body)
    given = body.get("input")
    if not isinstance(given, str | list) or not given:
        raise invalid("'input' must be a text or a list of messages.")
    prompt_of = [body.get("instructions"), given]
    text = body.get("text")
    wanted = text.get("format") if isinstance(text, dict) else None
    content, seed = _complete(prompt_of, _wanted(wanted, within=None), context)
    prompt, completion = _tokens(_text(prompt_of)), _tokens(content)
    value = {
        "id": f"resp_{seed:032x}",
        "object": "response",
        "created_at": CREATED,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "metadata": {},
        "model": body.get("model"),
        "output": [
            {
                "id": f"msg_{seed:032x}",
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": content, "annotations": []}],
            }
        ],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": prompt,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": completion,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": prompt + completion,
        },
    }
    return Answer(value, prompt, completion)


def embeddings(body: dict[str, Any], context: Context) -> Answer:
    """POST /v1/embeddings."""
    texts = _inputs(body)
    dimensions = _dimensions(body, context)
    encoding = body.get("encoding_format", "float")
    if encoding not in ("float", "base64"):
        raise invalid("'encoding_format' must be float or base64.")
    vectors = [embed(text, dimensions) for text in texts]
    prompt = sum(map(_tokens, texts))
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": packed(vector) if encoding == "base64" else vector,
        }
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": prompt, "total_tokens": prompt}
    value = {"object": "list", "data": data, "model": body.get("model"), "usage": usage}
    return Answer(value, prompt)


def ollama_embed(body: dict[str, Any], context: Context) -> Answer:
    """POST /api/embed."""
    texts = _inputs(body)
    dimensions = _dimensions(body, context)
    prompt = sum(map(_tokens, texts))
    value = {
        "model": body.get("model"),
        "embeddings": [embed(text, dimensions) for text in texts],
        "total_duration": 0,
        "load_duration": 0,
        "prompt_eval_count": prompt,
    }
    return Answer(value, prompt)


def ollama_chat(body: dict[str, Any], context: Context) -> Answer:
    """POST /api/chat. Streams unless told not to, like the original: here in a single line."""
    messages = _messages(body)
    content, _ = _complete(messages, _ollama_format(body), context)
    message = {"message": {"role": "assistant", "content": content}}
    return _ollama(body, _text(messages), content, message)


def ollama_generate(body: dict[str, Any], context: Context) -> Answer:
    """POST /api/generate. Streams unless told not to, like the original: here in a single line."""
    if not isinstance(body.get("prompt"), str):
        raise invalid("'prompt' must be a text.")
    prompt_of = [body.get("system"), body["prompt"]]
    content, _ = _complete(prompt_of, _ollama_format(body), context)
    return _ollama(body, _text(prompt_of), content, {"response": content})


def echo(body: Any, context: Context) -> Answer:
    """Any other path: gives back what it gets, one by one where it is a list of items."""
    items = body.get("items") if isinstance(body, dict) else body
    if not isinstance(items, list):
        return Answer({"ok": True, "echo": body, "n": 1})
    results = []
    for place, item in enumerate(items):
        if len(items) == 1 or context.keep():
            known = isinstance(item, dict) and "id" in item
            results.append({"id": item["id"] if known else place, "value": item})
    return Answer({"ok": True, "results": results, "n": len(results)})


ENDPOINTS: Mapping[str, Callable[[dict[str, Any], Context], Answer]] = {
    "/v1/chat/completions": chat,
    "/v1/responses": responses,
    "/v1/embeddings": embeddings,
    "/api/embed": ollama_embed,
    "/api/chat": ollama_chat,
    "/api/generate": ollama_generate,
}
"""The endpoints that take a JSON object with a `model`, all by POST."""


def _complete(prompt_of: Any, wanted: dict[str, Any] | None, context: Context) -> tuple[str, int]:
    """A completion for a prompt, and the number it was made from. wanted: the schema, if any."""
    seed = int.from_bytes(blake2b(jsons.canonical(prompt_of), digest_size=16).digest(), "big")
    rng = Random(seed)
    if wanted is None:
        return schemas.words(rng, 8 + rng.randrange(24)).capitalize() + ".", seed
    try:
        return jsons.dumps(schemas.example(wanted, rng, context.keep)), seed
    except (TypeError, ValueError, LookupError, AttributeError, RecursionError) as error:
        # Real providers check the schema first; here what cannot be followed is found on the way.
        raise invalid("The schema of the response format is not valid.") from error


def _wanted(given: Any, *, within: str | None) -> dict[str, Any] | None:
    """The schema in an OpenAI response format; `within` names the object that holds it."""
    if given is None:
        return None
    kind = given.get("type") if isinstance(given, dict) else None
    if kind == "text":
        return None
    if kind == "json_object":
        return {"type": "object", "required": ["answer"]}
    holder = given.get(within) if within and kind == "json_schema" else given
    schema = holder.get("schema") if isinstance(holder, dict) else None
    if kind != "json_schema" or not isinstance(schema, dict):
        raise invalid(
            "The response format must be text, json_object, or json_schema with a schema."
        )
    return schema


def _ollama_format(body: dict[str, Any]) -> dict[str, Any] | None:
    given = body.get("format")
    if not given:
        return None
    if given == "json":
        return {"type": "object", "required": ["answer"]}
    if not isinstance(given, dict):
        raise invalid("'format' must be \"json\" or a JSON schema.")
    return given


def _ollama(body: dict[str, Any], prompt: str, content: str, said: dict[str, Any]) -> Answer:
    prompt_tokens, completion_tokens = _tokens(prompt), _tokens(content)
    value = {
        "model": body.get("model"),
        "created_at": "2023-11-14T22:13:20Z",
        **said,
        "done": True,
        "done_reason": "stop",
        "total_duration": 0,
        "load_duration": 0,
        "prompt_eval_count": prompt_tokens,
        "prompt_eval_duration": 0,
        "eval_count": completion_tokens,
        "eval_duration": 0,
    }
    return Answer(value, prompt_tokens, completion_tokens, lines=body.get("stream") is not False)


def _no_streaming(body: dict[str, Any]) -> None:
    if body.get("stream"):
        raise invalid("Streaming is not simulated; leave 'stream' out.")


def _messages(body: dict[str, Any]) -> list[Any]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise invalid("'messages' must be a list with at least one message.")
    if not all(isinstance(message, dict) and "role" in message for message in messages):
        raise invalid("Each of 'messages' must be an object with a role.")
    return messages


def _inputs(body: dict[str, Any]) -> list[str]:
    """The texts to embed; lists of token numbers count as texts, too."""
    given = body.get("input")
    if isinstance(given, str):
        return [given]
    if isinstance(given, list) and given:
        if all(isinstance(one, str) for one in given):
            return given
        if all(isinstance(one, int) for one in given):
            return [jsons.dumps(given)]
        if all(isinstance(one, list) for one in given):
            return [jsons.dumps(one) for one in given]
    raise invalid("'input' must be a text or a list of texts that is not empty.")


def _dimensions(body: dict[str, Any], context: Context) -> int:
    dimensions = body.get("dimensions")
    if dimensions is None:
        return context.dimensions
    if type(dimensions) is not int or not 1 <= dimensions <= 65_536:
        raise invalid("'dimensions' must be a whole number from 1 to 65536.")
    return dimensions


def _text(value: Any) -> str:
    """The text in messages: contents and text parts, not roles and other keys."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(_text, value))
    if isinstance(value, dict):
        return _text(value.get("content")) + _text(value.get("text"))
    return ""


def _tokens(text: str) -> int:
    return -(-len(text) // 4)
