"""What an answer that is no good means: status, headers and body in, `Failure` out.

Pure, so that every rule can be tested from a table. What to do about a failure is decided
elsewhere (`retry.py`); here is only said what it was. Reasons are short and carry nothing of
the single item, so that a summary can count them; messages are for people.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from penstock import jsons
from penstock.rate.bounds import Outcome
from penstock.rate.headers import parse_reset
from penstock.secrets import mask
from penstock.text import storable
from penstock.web import LONGEST_WAIT, retry_after
from penstock.work.types import Failure, FailureKind

MAX_MESSAGE = 500

CUT_OFF = "answer cut off at max tokens"
FILTERED = "stopped by the content filter"
MISMATCH = "answer does not match the schema"
MISSING = "missing in the answer"
NOT_JSON = "answer is not JSON"
REFUSED = "refused by the model"
TOO_LARGE = "answer too large"
UNEXPECTED = "answer not as expected"

_QUOTA_WORDS = {
    "billing_error",
    "billing_hard_limit_reached",
    "credit_balance_exhausted",
    "enforced_spend_limit_reached",
    "organization_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
    "project_spend_limit_exceeded",
}
_DOUBTFUL_QUOTA_WORDS = {"insufficient_quota", "quota_exceeded"}
"""Out of money at some vendors; at others a limit by the minute or the day is a quota, too."""
_QUOTA_MESSAGES = ("your credit balance is too low", "you have reached your specified ")
"""How messages begin that come with 400 and the words of a wrong request (Anthropic)."""
_ACCESS_WORDS = {"invalid_api_key", "model_not_found"}
_OUTCOMES = {
    FailureKind.THROTTLED: Outcome.THROTTLED,
    FailureKind.OVERLOADED: Outcome.OVERLOADED,
    FailureKind.QUOTA: Outcome.QUOTA,
    FailureKind.TIMEOUT: Outcome.TIMEOUT,
    FailureKind.ERROR: Outcome.ERROR,
    FailureKind.INVALID: Outcome.OK,  # the far side took it; what came back is another matter
}
_OVERLOADED = {503, 529}
_AGAIN = {408, 409, 425}

_WORD = re.compile(r"[A-Za-z][\w.-]{0,63}")
_READ = 65_536
"""Bytes of an error body that are looked at."""
_TAGS = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.IGNORECASE | re.DOTALL)


def classify(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: float,
    models: bool = False,
    secrets: Iterable[str] = (),
) -> Failure:
    """What a response that is not 2xx means.

    headers: with lower-case names. now: seconds since the epoch, for a Retry-After that is a date.
    models: the server serves models, so that a 404 means an unknown model or a wrong base URL
    and not a missing item. secrets: texts that must not appear in the message.
    """
    error = _read_error(body)
    wait = retry_after(headers, now)
    if wait is None:
        wait = error.wait
    kind = _kind(status, error, waits=wait is not None, models=models)
    word = error.code or error.type
    reason = f"HTTP {status} {word}" if word else f"HTTP {status}"
    message = error.message
    if 300 <= status < 400:
        location = headers.get("location", "")
        message = f"it points to {location or 'nowhere'}, which is not followed; put the final "
        message += "address into the manifest"
    waiting = {FailureKind.THROTTLED, FailureKind.OVERLOADED, FailureKind.ERROR}
    return Failure(
        kind,
        mask(reason, secrets),
        clean(message, secrets),
        retry_after=wait if kind in waiting else None,
        status=status,
        doubtful=kind is FailureKind.QUOTA and _is_doubtful(status, error),
    )


def outcome(failure: Failure | None) -> Outcome:
    """What a call that ended so says about the far side's capacity."""
    return Outcome.OK if failure is None else _OUTCOMES.get(failure.kind, Outcome.REJECTED)


def timed_out(seconds: float) -> Failure:
    """No complete answer within the request timeout."""
    return Failure(FailureKind.TIMEOUT, f"timeout after {seconds:g} s")


def dropped(message: str = "") -> Failure:
    """The connection was closed or broke before the answer was complete."""
    return Failure(FailureKind.ERROR, "connection dropped", clean(message))


def unreachable(reason: str, message: str) -> Failure:
    """No connection came about, so the call never got to the server."""
    return Failure(FailureKind.ERROR, reason, clean(message), reached=False)


def invalid(reason: str, message: str = "") -> Failure:
    """An answer came, but it cannot be used; another try may give a better one."""
    return Failure(FailureKind.INVALID, reason, clean(message))


def rejected(reason: str, message: str = "") -> Failure:
    """The far side will not do this, however often it is asked."""
    return Failure(FailureKind.REJECTED, reason, clean(message))


def clean(text: str, secrets: Iterable[str] = ()) -> str:
    """A message fit to be stored and shown: one line, at most 500 characters, secrets masked,
    without control characters."""
    line = " ".join(storable(mask(text[:_READ], secrets)).split())
    return line if len(line) <= MAX_MESSAGE else line[: MAX_MESSAGE - 1] + "…"


@dataclass(frozen=True, slots=True)
class _Error:
    """wait: seconds that the body asks to wait."""

    code: str | None = None
    type: str | None = None
    detail: str | None = None
    message: str = ""
    wait: float | None = None

    @property
    def words(self) -> set[str | None]:
        """The short ones."""
        return {self.code, self.type, self.detail}


def _kind(status: int, error: _Error, *, waits: bool, models: bool) -> FailureKind:
    words = error.words
    # Some vendors call a limit by the minute a quota as well, or ask to pay for what passes (402 of
    # OpenRouter, while calls in flight hold the credit); then they say when it is over.
    limit = status in (402, 429) and waits
    spent = status == 402 or bool(words & (_QUOTA_WORDS | _DOUBTFUL_QUOTA_WORDS))
    if status == 400:
        spent |= error.message.lower().startswith(_QUOTA_MESSAGES)
    if spent and status < 500 and not limit:
        return FailureKind.QUOTA
    if status == 402:
        return FailureKind.THROTTLED
    if status == 429:
        # OpenAI says so, with 429, of a request larger than a minute's tokens: waiting is vain.
        too_large = error.message.lower().startswith("request too large")
        return FailureKind.REJECTED if too_large else FailureKind.THROTTLED
    if status == 403 and waits:
        return FailureKind.THROTTLED  # some APIs limit this way; nobody waits for a permission
    if status in (401, 403, 407) or (status < 500 and words & _ACCESS_WORDS):
        return FailureKind.ACCESS
    if status == 404 and models:
        return FailureKind.ACCESS
    if status in _OVERLOADED:
        return FailureKind.OVERLOADED
    if status >= 500 or status in _AGAIN:
        return FailureKind.ERROR
    return FailureKind.REJECTED


def _is_doubtful(status: int, error: _Error) -> bool:
    sure = status == 402 or error.words & _QUOTA_WORDS
    return not sure and bool(error.words & _DOUBTFUL_QUOTA_WORDS)


def _read_error(body: bytes) -> _Error:
    """What an error body says, as OpenAI, Anthropic, Google, Ollama, RFC 9457 … write it."""
    text = body[:_READ].decode("utf-8", "replace")
    try:
        value = jsons.loads(body) if len(body) <= _READ else None
    except ValueError:
        value = None
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return _Error(message=_TAGS.sub(" ", text[: 8 * MAX_MESSAGE]))
    error = value.get("error")
    inner: dict[str, Any] = error if isinstance(error, dict) else value
    message = error if isinstance(error, str) else _first(inner, "message", "detail", "title")
    details = inner.get("details")
    return _Error(
        code=_word(inner.get("code")) or _word(inner.get("status")),
        type=_word(inner.get("type")),
        detail=_word(details.get("error_code")) if isinstance(details, dict) else None,
        message=text if message is None else message,
        wait=_delay(details),
    )


def _delay(details: Any) -> float | None:
    """Seconds of google.rpc.RetryInfo, where Google says what others say in Retry-After."""
    for detail in details if isinstance(details, list) else []:
        told = detail.get("retryDelay") if isinstance(detail, dict) else None
        seconds = parse_reset(told) if isinstance(told, str) else None
        if seconds is not None:
            return min(seconds, LONGEST_WAIT)
    return None


def _first(value: dict[str, Any], *names: str) -> str | None:
    for name in names:
        found = value.get(name)
        if found:
            return found if isinstance(found, str) else jsons.dumps(found)
    return None


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None
