"""What answers of real providers, and of broken ones, are taken for."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.web import LONGEST_WAIT, retry_after
from penstock.work import failures
from penstock.work.failures import MAX_MESSAGE, classify, clean
from penstock.work.types import Failure, FailureKind

K = FailureKind
NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


def openai(code: Any = None, kind: Any = None, message: str = "said") -> bytes:
    error = {"message": message, "type": kind, "param": None, "code": code}
    return json.dumps({"error": error}).encode()


def anthropic(kind: str, message: str = "said", **more: Any) -> bytes:
    return json.dumps(
        {"type": "error", "error": {"type": kind, "message": message} | more}
    ).encode()


def google(status: str, *details: Any) -> bytes:
    error = {"code": 429, "message": "said", "status": status, "details": details}
    return json.dumps([{"error": error}]).encode()


def classified(status: int, body: bytes = b"", **more: Any) -> Failure:
    headers = more.pop("headers", {})
    return classify(status, headers, body, now=NOW, **more)


TABLE: list[tuple[int, bytes, dict[str, Any], FailureKind, str]] = [
    # 429: a limit, unless a structured code says that the money is gone.
    (429, openai("rate_limit_exceeded", "requests"), {}, K.THROTTLED, "rate_limit_exceeded"),
    (429, openai("insufficient_quota", "insufficient_quota"), {}, K.QUOTA, "insufficient_quota"),
    (429, openai(None, "insufficient_quota"), {}, K.QUOTA, "insufficient_quota"),
    (429, openai("billing_hard_limit_reached"), {}, K.QUOTA, "billing_hard_limit_reached"),
    # … and does not say when it comes back: some vendors call a minute's limit a quota.
    (
        429,
        openai("insufficient_quota"),
        {"headers": {"retry-after": "20"}},
        K.THROTTLED,
        "insufficient_quota",
    ),
    (402, openai("x"), {"headers": {"retry-after": "20"}}, K.THROTTLED, "x"),
    (
        429,
        openai("credit_balance_exhausted", "insufficient_quota"),
        {},
        K.QUOTA,
        "credit_balance_exhausted",
    ),
    (
        429,
        openai("project_spend_limit_exceeded", "insufficient_quota"),
        {},
        K.QUOTA,
        "project_spend_limit_exceeded",
    ),
    (429, openai("quota_exceeded"), {}, K.QUOTA, "quota_exceeded"),
    (402, anthropic("billing_error"), {}, K.QUOTA, "billing_error"),
    (429, anthropic("rate_limit_error"), {}, K.THROTTLED, "rate_limit_error"),
    (
        429,
        anthropic("rate_limit_error", details={"error_code": "enforced_spend_limit_reached"}),
        {},
        K.QUOTA,
        "rate_limit_error",
    ),
    (
        400,
        anthropic("invalid_request_error", "Your credit balance is too low to access it."),
        {},
        K.QUOTA,
        "invalid_request_error",
    ),
    (
        400,
        anthropic("invalid_request_error", "You have reached your specified API usage limits."),
        {},
        K.QUOTA,
        "invalid_request_error",
    ),
    (
        400,
        anthropic("invalid_request_error", "max_tokens: your credit balance is too low"),
        {},
        K.REJECTED,
        "invalid_request_error",
    ),
    (429, google("RESOURCE_EXHAUSTED"), {}, K.THROTTLED, "RESOURCE_EXHAUSTED"),
    (402, google("RESOURCE_EXHAUSTED"), {}, K.QUOTA, "RESOURCE_EXHAUSTED"),
    (503, google("UNAVAILABLE"), {}, K.OVERLOADED, "UNAVAILABLE"),
    (429, openai("429", message="Please retry after 60 seconds."), {}, K.THROTTLED, ""),
    (429, openai(message="insufficient quota for this minute"), {}, K.THROTTLED, ""),
    (429, b"insufficient_quota", {}, K.THROTTLED, ""),
    (429, b"", {}, K.THROTTLED, ""),
    (
        429,
        openai("rate_limit_exceeded", "tokens", "Request too large for m on tokens per min"),
        {},
        K.REJECTED,
        "rate_limit_exceeded",
    ),
    (400, openai("billing_hard_limit_reached"), {}, K.QUOTA, "billing_hard_limit_reached"),
    (402, b"", {}, K.QUOTA, ""),
    # Who may.
    (401, openai("invalid_api_key", "invalid_request_error"), {}, K.ACCESS, "invalid_api_key"),
    (403, b"", {}, K.ACCESS, ""),
    (403, b"", {"headers": {"retry-after": "30"}}, K.THROTTLED, ""),
    (407, b"", {}, K.ACCESS, ""),
    (404, openai("model_not_found"), {}, K.ACCESS, "model_not_found"),
    (400, openai("model_not_found"), {}, K.ACCESS, "model_not_found"),
    (404, b'{"error":"model \'x\' not found"}', {"models": True}, K.ACCESS, ""),
    (404, b"<h1>Not Found</h1>", {"models": True}, K.ACCESS, ""),
    (404, b'{"error":"car model not found"}', {}, K.REJECTED, ""),
    # The item.
    (400, openai(None, "invalid_request_error"), {}, K.REJECTED, "invalid_request_error"),
    (400, openai("context_length_exceeded"), {}, K.REJECTED, "context_length_exceeded"),
    (400, openai("content_filter"), {}, K.REJECTED, "content_filter"),
    (405, b"", {}, K.REJECTED, ""),
    (413, b"", {}, K.REJECTED, ""),
    (422, b'{"detail":[{"loc":["body"],"msg":"wrong"}]}', {}, K.REJECTED, ""),
    (302, b"", {"headers": {"location": "https://a/b"}}, K.REJECTED, ""),
    (304, b"", {}, K.REJECTED, ""),
    # The server.
    (500, openai(None, "server_error"), {}, K.ERROR, "server_error"),
    (500, openai("insufficient_quota"), {}, K.ERROR, "insufficient_quota"),
    *[(status, b"", {}, K.ERROR, "") for status in (408, 409, 425, 500, 501, 502, 504, 507)],
    *[(status, b"", {}, K.ERROR, "") for status in range(520, 525)],
    (503, openai("overloaded", "overloaded_error"), {}, K.OVERLOADED, "overloaded"),
    (
        529,
        b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}',
        {},
        K.OVERLOADED,
        "overloaded_error",
    ),
    # Other shapes: a number as code, a list around it, a status in words.
    (400, openai(400, "bad"), {}, K.REJECTED, "bad"),
    (400, openai("429", "bad"), {}, K.REJECTED, "bad"),
    (
        400,
        b'[{"error":{"code":400,"message":"no","status":"INVALID_ARGUMENT"}}]',
        {},
        K.REJECTED,
        "INVALID_ARGUMENT",
    ),
    (400, openai("a reason with blanks"), {}, K.REJECTED, ""),
    (400, openai("x" * 200), {}, K.REJECTED, ""),
]


@pytest.mark.parametrize(("status", "body", "more", "kind", "word"), TABLE)
def test_classify(
    status: int, body: bytes, more: dict[str, Any], kind: FailureKind, word: str
) -> None:
    failure = classified(status, body, **more)
    assert failure.kind is kind
    assert failure.reason == f"HTTP {status} {word}".rstrip()
    assert failure.status == status
    assert failure.reached


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (openai("x", message="said so"), "said so"),
        (b'{"error":"plain"}', "plain"),
        (b'{"message":"top"}', "top"),
        (b'{"title":"Bad","detail":"The why"}', "The why"),
        (b'{"detail":[{"msg":"m"}]}', '[{"msg":"m"}]'),
        (b'{"other":1}', '{"other":1}'),
        (b"<html><script>x()</script><h1>502</h1>\n<p>Bad   gateway</p></html>", "502 Bad gateway"),
        (b"two\nlines", "two lines"),
        (b"\xff\xfe", "��"),
        (b"", ""),
        (b"[]", "[]"),
    ],
)
def test_messages(body: bytes, message: str) -> None:
    assert classified(500, body).message == message


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "12"}, 12.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "999999999"}, 3600.0),
        ({"retry-after-ms": "999999999"}, 3600.0),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "x", "retry-after": "9"}, 9.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT"}, 30.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:00:00 GMT"}, 0.0),
        (
            {
                "retry-after": "Wed, 15 Nov 2023 01:00:10 GMT",  # by the server's own clock
                "date": "Wed, 15 Nov 2023 01:00:00 GMT",
            },
            10.0,
        ),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == seconds


def test_only_what_is_waited_for_carries_a_wait() -> None:
    headers = {"retry-after": "5"}
    assert classified(429, headers=headers).retry_after == 5.0
    assert classified(503, headers=headers).retry_after == 5.0
    assert classified(500, headers=headers).retry_after == 5.0
    assert classified(400, headers=headers).retry_after is None
    assert classified(402, headers=headers).retry_after == 5.0


@pytest.mark.parametrize(
    ("details", "headers", "seconds"),
    [
        ([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "36s"}], {}, 36.0),
        ([{"violations": []}, {"retryDelay": "0.5s"}], {}, 0.5),
        ([{"retryDelay": "36s"}], {"retry-after": "7"}, 7.0),
        ([{"retryDelay": "999999s"}], {}, LONGEST_WAIT),
        ([{"retryDelay": "soon"}], {}, None),
        ([{"retryDelay": 36}, "x", None], {}, None),
    ],
)
def test_google_says_in_the_body_how_long_to_wait(
    details: list[Any], headers: dict[str, str], seconds: float | None
) -> None:
    body = google("RESOURCE_EXHAUSTED", *details)
    failure = classified(429, body, headers=headers)
    assert (failure.kind, failure.retry_after) == (K.THROTTLED, seconds)


@pytest.mark.parametrize(
    ("status", "body", "doubtful"),
    [
        (429, openai("insufficient_quota", "insufficient_quota"), True),
        (429, openai("quota_exceeded"), True),
        (429, openai("credit_balance_exhausted", "insufficient_quota"), False),
        (402, openai("insufficient_quota"), False),
        (402, b"", False),
        (400, anthropic("invalid_request_error", "Your credit balance is too low."), False),
        (429, openai("rate_limit_exceeded"), False),
    ],
)
def test_what_may_also_mean_a_limit_that_passes_is_marked(
    status: int, body: bytes, doubtful: bool
) -> None:
    assert classified(status, body).doubtful is doubtful


def test_a_redirect_says_where_to() -> None:
    failure = classified(308, headers={"location": "https://new/api?key=abcdef"})
    assert "https://new/api?key=***" in failure.message


def test_secrets_are_masked_everywhere() -> None:
    body = openai("bad", message="key my-own-key-1 or sk-proj-abc_DEF123 or Bearer abc.def-123=")
    failure = classified(401, body, secrets=["my-own-key-1"])
    assert failure.message == "key *** or *** or Bearer ***"
    assert (
        "my-own-key-1"
        not in classified(400, openai("my-own-key-1"), secrets=["my-own-key-1"]).reason
    )


def test_long_messages_are_cut() -> None:
    assert len(clean("x " * 10_000)) == MAX_MESSAGE
    assert clean(" a\n\tb ") == "a b"


def test_nothing_leaves_that_a_database_cannot_hold() -> None:
    assert clean("a\0b\x1b[31m\x7f \ud800\u0085é") == "a�b�[31m� ��é"
    assert classified(500, b'{"error": "a\\u0000b"}').message == "a�b"
    for made in (failures.dropped, partial(failures.invalid, "x"), partial(failures.rejected, "x"),
                 partial(failures.unreachable, "x")):  # fmt: skip
        assert made("a\0b").message == "a�b"


def test_a_wait_for_a_quota_is_kept() -> None:
    failure = classified(429, openai("insufficient_quota"), headers={"retry-after": "20"})
    assert failure.retry_after == 20.0


def test_a_key_is_masked_before_the_cut() -> None:
    text = "x" * (MAX_MESSAGE - 10) + "my-long-secret-key"
    assert "my-lo" not in clean(text, ["my-long-secret-key"])


def test_a_hostile_page_is_no_trouble() -> None:
    assert classified(500, b"<script" * 9000).kind is K.ERROR


def test_the_rest() -> None:
    assert failures.timed_out(60.0) == Failure(K.TIMEOUT, "timeout after 60 s")
    assert failures.timed_out(0.25).reason == "timeout after 0.25 s"
    assert failures.dropped("gone") == Failure(K.ERROR, "connection dropped", "gone")
    assert not failures.unreachable("connection refused", "").reached


@given(
    status=st.integers(300, 599),
    body=st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=20),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["error", "message", "code", "type", "status", "detail"]), inner
                )
            ),
        ).map(lambda value: json.dumps(value).encode()),
    ),
    headers=st.dictionaries(
        st.sampled_from(["retry-after", "retry-after-ms", "date", "location"]),
        st.text(max_size=40),
    ),
)
def test_anything_can_be_classified(status: int, body: bytes, headers: dict[str, str]) -> None:
    failure = classified(status, body, headers=headers)
    assert failure.reason.startswith(f"HTTP {status}")
    assert len(failure.message) <= MAX_MESSAGE
    assert "\n" not in failure.message
    assert failure.retry_after is None or 0 <= failure.retry_after <= LONGEST_WAIT
