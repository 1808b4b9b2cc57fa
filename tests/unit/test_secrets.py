"""What is secret, by its form and by its name."""

from __future__ import annotations

import pytest

from penstock.secrets import is_secret_header, mask, masker


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("key sk-proj-abcDEF123456", "key ***"),
        ("sk-ab**cd", "***"),
        ("Authorization: Bearer eyJhbGciOi.J9", "Authorization: Bearer ***"),
        ("postgresql://bob:s3cret@db/x", "postgresql://bob:***@db/x"),
        ("GET https://u:pw@h/p?api_key=abc&x=1", "GET https://u:***@h/p?api_key=***&x=1"),
        ("https://h/p?x=1&X-Signature=abc def", "https://h/p?x=1&X-Signature=*** def"),
        ("https://a.blob/c?sv=2024&sig=aB%2Fc%3D&se=1", "https://a.blob/c?sv=2024&sig=***&se=1"),
        ("https://h/p?sig=abc", "https://h/p?sig=***"),
        ("https://h/p?design=abc&sigma=2", None),
        ("password=hunter2 host=db", "password=*** host=db"),
        ('{"api_key": "abc"}', '{"api_key": "***"}'),
        ("the task-list risk, task-force and risk-free at http://host:8000/v1", None),
        ("mail bob@example.com", None),
        ("spec.processor.openai.apiKey: no API key: set OPENAI_API_KEY", None),
        ("the password: must be given", None),
    ],
)
def test_secrets_are_known_by_their_form(text: str, masked: str | None) -> None:
    expected = text if masked is None else masked
    assert mask(text) == masker({})(text) == expected


def test_secrets_that_are_named_are_hidden_unless_they_are_words() -> None:
    assert mask("abcd is x", ["abcd", "x", ""]) == "*** is x"


def test_values_of_key_variables_are_hidden_and_short_ones_are_not() -> None:
    hide = masker(
        {
            "HF_TOKEN": "abcdefgh",
            "LONGER_TOKEN": "abcdefgh-more",
            "API_TOKEN": "1",
            "PENSTOCK_SECRET_SHOP_LOGIN": "open sesame",
            "HOME": "/home/bob",
        }
    )
    assert hide("1 abcdefgh abcdefgh-more /home/bob open sesame") == "1 *** *** /home/bob ***"


@pytest.mark.parametrize(
    "name", ["Authorization", "X-API-Key", "cookie", "X-Password", "Session-Id", "x-auth", "TOKEN"]
)
def test_headers_that_carry_secrets(name: str) -> None:
    assert is_secret_header(name)


@pytest.mark.parametrize("name", ["Content-Type", "Accept", "X-Request-Id", "User-Agent"])
def test_headers_that_do_not(name: str) -> None:
    assert not is_secret_header(name)
