"""What every HTTP client here has to know: how long a server asks to wait, and which proxy to take.

Rules alone; the clients themselves are in `work` (calls behind the gate) and `sources` (pages).
"""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

LONGEST_WAIT = 3600.0
"""Seconds; some say a day where a minute is meant, so after an hour they are asked again."""

_LOOPBACK = ("localhost", "127.", "::1")


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that `retry-after-ms` or `retry-after` (seconds or an HTTP date) ask to wait.

    headers: with lower-case names. now: seconds since the epoch; a date is taken against the
    server's own clock where it sent that (`date`). None: no such header, or nonsense.
    """
    milliseconds = number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return min(milliseconds / 1000, LONGEST_WAIT)
    text = headers.get("retry-after")
    seconds = number(text)
    if seconds is None:
        until, since = _date(text), _date(headers.get("date"))
        if until is None:
            return None
        seconds = max(0.0, until - (now if since is None else since))
    return min(seconds, LONGEST_WAIT)


def number(text: str | None) -> float | None:
    """A header's value as a number from 0; None for anything else."""
    try:
        value = float(text) if text is not None else None
    except ValueError:
        return None
    return value if value is not None and 0 <= value < float("inf") else None


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for this address; None to go there directly.

    Not by aiohttp's `trust_env`, which reads the environment anew for every request, sends
    passwords from ~/.netrc along, and goes through the proxy to reach this very machine.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    named = getproxies().get(parts.scheme)
    direct = not named or host.startswith(_LOOPBACK) or proxy_bypass(host)
    return None if direct else str(named)


def _date(text: str | None) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except (TypeError, ValueError, OverflowError):
        return None
