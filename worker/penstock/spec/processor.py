"""`spec.processor`: what is done with an item. Exactly one kind is given."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from penstock.spec.types import Model, Size

PythonMode = Literal["async", "thread", "process"]
Role = Literal["system", "developer", "user", "assistant", "tool", "function"]

_MESSAGES = (
    "The conversation to send, when chatting. The contents are templates over the item: "
    "`{{ item.title }}`."
)
_INPUT_OPENAI = "The text to send, for `responses` and `embeddings`; a template over the item."
_RESPONSE_FORMAT = (
    "JSON Schema of the answer, which becomes the output as an object and is checked against it. "
    "OpenAI's own form (`type: json_schema` or `type: json_object`) is understood as well."
)
_PARAMETERS = (
    "Anything else for the request, passed on as it is: `temperature`, `reasoning_effort`, …"
)
_API_KEY = "Where the API key comes from."


class SecretKeyRef(Model):
    """One key of a Secret of the job's namespace."""

    name: str = Field(min_length=1, description="Name of the Secret.")
    key: str = Field(min_length=1, description="Key in it that holds the API key.")


class ApiKey(Model):
    """Where the API key comes from; the key itself never stands in a manifest."""

    secret_key_ref: SecretKeyRef = Field(
        description=(
            "The Secret that holds the key. On one machine the variable "
            "PENSTOCK_SECRET_<NAME>_<KEY> stands in for it, or OPENAI_API_KEY."
        )
    )


def _content(value: Any) -> Any:
    if isinstance(value, str | list):
        return value
    raise ValueError("wanted text, or a list of content parts")


class Message(Model):
    """One message of a conversation."""

    role: Role = Field(description="Who speaks: `system`, `user` or `assistant`.")
    content: Annotated[str | list[Any], BeforeValidator(_content)] = Field(
        description="The text, or a list of content parts; every string in it is a template."
    )


class OpenAIProcessor(Model):
    """A call to OpenAI, or to any server that speaks its API."""

    operation: Literal["chat", "responses", "embeddings"] = Field(
        default="chat", description="Which of the server's operations is called."
    )
    base_url: str = Field(
        default="https://api.openai.com/v1",
        alias="baseURL",
        description="Address of the server, up to the version: any compatible server does.",
    )
    model: str = Field(min_length=1, description="Name of the model.")
    messages: list[Message] | None = Field(default=None, description=_MESSAGES)
    input: str | None = Field(default=None, description=_INPUT_OPENAI)
    response_format: dict[str, Any] | None = Field(default=None, description=_RESPONSE_FORMAT)
    parameters: dict[str, Any] = Field(default_factory=dict, description=_PARAMETERS)
    api_key: ApiKey | None = Field(default=None, description=_API_KEY)


class OllamaProcessor(Model):
    """A call to Ollama's own API, `/api/embed` or `/api/chat`."""

    operation: Literal["embeddings", "chat"] | None = Field(
        default=None,
        description="What is called; default: `chat` with `messages`, `embeddings` with `input`.",
    )
    base_url: str = Field(
        default="http://localhost:11434", alias="baseURL", description="Address of the server."
    )
    model: str = Field(min_length=1, description="Name of the model.")
    messages: list[Message] | None = Field(default=None, description=_MESSAGES)
    input: str | None = Field(
        default=None, description="The text to embed, for `embeddings`; a template over the item."
    )
    response_format: dict[str, Any] | None = Field(default=None, description=_RESPONSE_FORMAT)
    parameters: dict[str, Any] = Field(
        default_factory=dict,
        description="Anything else for the request: `options: {temperature: 0}`, `think`, …",
    )
    keep_alive: str | None = Field(
        default=None,
        description="How long the server keeps the model in memory afterwards, for example `5m`.",
    )


class HttpProcessor(Model):
    """A call to any HTTP server that answers in JSON."""

    url: str = Field(min_length=1, description="Address to call; may be a template.")
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = Field(
        default="POST", description="HTTP method."
    )
    headers: dict[str, str] = Field(
        default_factory=dict,
        description="Headers to send with every request; their values may be templates.",
    )
    body: Any = Field(
        default=None,
        description=(
            "Body of a call for one item: a template that gives JSON, or an object whose strings "
            "are templates (one that is exactly `{{ item.price }}` gives the number, not its "
            "text). Default: the item itself. A call for several items sends the list of these."
        ),
    )
    items_body: Any = Field(
        default=None,
        description=(
            "Body of a call that carries a list of items, even a list of one, for servers that "
            "want more than a plain list: a template over `items`."
        ),
    )
    response_path: str | None = Field(
        default=None,
        description=(
            "JMESPath of the output in the answer, and of the list of outputs when a call "
            "carries several items. Default: the whole answer."
        ),
    )
    id_path: str | None = Field(
        default=None,
        description=(
            "JMESPath, in each output of a call for several items, of the item's ID. Default: "
            "outputs come in the order of the items."
        ),
    )
    api_key: ApiKey | None = Field(default=None, description=_API_KEY)


class ConfigMapRef(Model):
    """A ConfigMap of the job's namespace."""

    name: str = Field(min_length=1, description="On a cluster: name of the ConfigMap.")


class CodeFrom(Model):
    """Where the code of a function comes from."""

    config_map: ConfigMapRef = Field(description="ConfigMap that holds the modules.")


class PythonProcessor(Model):
    """A call to a Python function."""

    entrypoint: str = Field(
        pattern=r"^[\w.]+:\w+$", description="The function, as `package.module:function`."
    )
    mode: PythonMode = Field(
        default="async",
        description=(
            "Where it runs: `async`, on the event loop (a plain function then runs in a thread); "
            "`thread`, for calls that block; `process`, for work that computes."
        ),
    )
    initializer: str | None = Field(
        default=None,
        pattern=r"^[\w.]+:\w+$",
        description=(
            "A function without arguments to call once before the first item, in each process "
            "that runs the function: to load a model, say."
        ),
    )
    kwargs: dict[str, Any] = Field(
        default_factory=dict, description="Further arguments for the function, by name."
    )
    memory_limit: Size | None = Field(
        default=None,
        description=(
            "Memory that each process of `mode: process` and of `ctx.process` may have, such as "
            "512Mi; an item that takes more fails its attempt. Default: 80 % of the memory there "
            "is, divided among the processes."
        ),
    )
    code_from: CodeFrom | None = Field(
        default=None, description="Where the code comes from when it is not in the image."
    )


class Stage(Model):
    """One of several processors in a row."""

    name: str = Field(min_length=1, description="Name of the stage.")
    processor: Processor = Field(description="What this stage does with an item.")
    ordering: Literal["parallel", "sequential"] = Field(
        default="parallel",
        description=(
            "Whether items pass side by side, or one at a time over the whole job in the "
            "input's order."
        ),
    )
    after: Literal["item", "all"] = Field(
        default="item",
        description="Whether an item waits for itself or for all items in the stage before.",
    )


class Processor(Model):
    """What is done with an item: exactly one of openai, ollama, http, python or stages."""

    openai: OpenAIProcessor | None = Field(
        default=None, description="A call to OpenAI, or to any server that speaks its API."
    )
    ollama: OllamaProcessor | None = Field(default=None, description="A call to Ollama's own API.")
    http: HttpProcessor | None = Field(
        default=None, description="A call to any HTTP server that answers in JSON."
    )
    python: PythonProcessor | None = Field(default=None, description="A call to a Python function.")
    stages: list[Stage] | None = Field(
        default=None, description="Several processors in a row, each with the output of the last."
    )


Stage.model_rebuild()
