"""Answers that are no answers: error statuses with the bodies OpenAI and Ollama give them."""

from __future__ import annotations

from typing import Any

from penstock.simulate.admission import Dimension
from penstock.simulate.faults import Fault


class Refusal(Exception):
    """A call ends with an error status. `fault` is what /stats counts it as."""

    def __init__(
        self, status: int, kind: str, code: str | None, message: str, fault: Fault
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.code = code
        self.fault = fault

    def body(self, *, ollama: bool) -> dict[str, Any]:
        """The JSON body: Ollama's is a bare text, everybody else's an object."""
        return error_body(str(self), self.kind, self.code, ollama=ollama)


def error_body(message: str, kind: str, code: str | None, *, ollama: bool) -> dict[str, Any]:
    """An error in the shape the endpoint's clients expect."""
    if ollama:
        return {"error": message}
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def invalid(message: str) -> Refusal:
    """400: the request makes no sense."""
    return Refusal(400, "invalid_request_error", None, message, Fault.INVALID)


def wrong_method() -> Refusal:
    """405: this endpoint only takes POST."""
    return Refusal(405, "invalid_request_error", "method_not_supported", "Use POST.", Fault.INVALID)


def poisoned() -> Refusal:
    """400: something in the body is not accepted, now or ever."""
    message = "The request was refused because of its content."
    return Refusal(400, "invalid_request_error", "invalid_value", message, Fault.POISON)


def wrong_key() -> Refusal:
    """401: the key is missing or not the right one. It is never repeated."""
    message = "Incorrect API key provided, or none."
    return Refusal(401, "invalid_request_error", "invalid_api_key", message, Fault.ACCESS)


def unknown_model(model: str) -> Refusal:
    """404: there is no such model."""
    message = f"The model '{model[:100]}' does not exist or you have no access to it."
    return Refusal(404, "invalid_request_error", "model_not_found", message, Fault.MODEL)


def quota_spent() -> Refusal:
    """429 that no waiting cures."""
    message = "You exceeded your current quota; check your plan and billing details."
    return Refusal(429, "insufficient_quota", "credit_balance_exhausted", message, Fault.QUOTA)


def server_error() -> Refusal:
    """500: bad luck, try again."""
    message = "The server had an error while processing the request."
    return Refusal(500, "server_error", None, message, Fault.ERROR)


def overloaded() -> Refusal:
    """503: too much going on, slow down."""
    message = "The server is overloaded; try again later."
    return Refusal(503, "overloaded_error", "overloaded", message, Fault.OVERLOADED)


def throttled_body(
    dimension: Dimension, retry_after: float | None, *, ollama: bool
) -> dict[str, Any]:
    """429: a rate limit. `retry_after` None: a provider that gives no hint, not even in words."""
    message = f"Rate limit reached: too many {dimension} per minute."
    if retry_after is not None:
        message += f" Try again in {retry_after:.3f}s."
    return error_body(message, dimension, "rate_limit_exceeded", ollama=ollama)
