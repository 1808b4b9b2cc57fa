"""A CEL rule, and the kinds of rules that several models need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_ADDRESS = "wanted an address such as https://example.org/v1"
_NO_PASSWORD = "user and password do not belong in an address"


@dataclass(frozen=True, slots=True)
class Rule:
    """One condition in CEL on an object, and what is said when it does not hold.

    at: the field that is at fault, as `.concurrency.min`; default: the object itself.
    expression: the message in CEL, where it depends on the object; `message` is kept beside it.
    """

    rule: str
    message: str
    at: str = ""
    expression: str = ""

    def as_json(self) -> dict[str, str]:
        """As it is written in a schema."""
        written = {
            "rule": self.rule,
            "message": self.message,
            "messageExpression": self.expression,
            "fieldPath": self.at,
        }
        return {key: value for key, value in written.items() if value}


def exactly_one(names: Sequence[str], unless: str = "") -> Rule:
    """Exactly one of several fields is given. unless: a field that makes it needless."""
    wanted = f"wanted exactly one of {', '.join(names)}"
    given = ", ".join(f"has(self.{name})" for name in names)
    # A sum of words is cheap by the API server's reckoning; `join`, and `string` of a number, cost
    # a hundred times what a message may.
    listed = " + ".join(f"(has(self.{name}) ? ' {name}' : '')" for name in names)
    excused = f"has(self.{unless}) || " if unless else ""
    return Rule(
        f"{excused}[{given}].exists_one(one, one)",
        wanted,
        expression=f"'{wanted}; given:' + ([{given}].exists(one, one) ? {listed} : ' none')",
    )


def at_most(low: str, high: str, low_default: int, high_default: int) -> Rule:
    """One number does not exceed another. The defaults count where one is left out."""
    return Rule(
        f"(has(self.{low}) ? self.{low} : {low_default}) <= "
        f"(has(self.{high}) ? self.{high} : {high_default})",
        f"{low} is more than {high} (left out, they are {low_default} and {high_default})",
        f".{low}",
    )


def never_falls(counter: str, does: str) -> Rule:
    """A counter that is 0 when left out stays or rises."""
    now, before = (f"(has({of}.{counter}) ? {of}.{counter} : 0)" for of in ("self", "oldSelf"))
    message = f"never falls; leave it as it was, or raise it to {does}"
    return Rule(f"{now} >= {before}", message, f".{counter}")


def never_changes(field: str, why: str) -> Rule:
    """A field that is given or not once and for all."""
    return Rule(
        f"has(self.{field}) == has(oldSelf.{field}) && "
        f"(!has(self.{field}) || self.{field} == oldSelf.{field})",
        f"cannot be changed: {why}",
        f".{field}",
    )


def address(field: str, *, required: bool = False) -> tuple[Rule, Rule]:
    """A field, perhaps a template, that begins as the address of a server and holds no password."""
    absent = "" if required else f"!has(self.{field}) || "
    begins, user = r"(?i)^\\s*https?://[^/?#\\s]", r"://[^/?#{]*@"
    return (
        Rule(f"{absent}self.{field}.matches('{begins}')", _ADDRESS, f".{field}"),
        Rule(f"{absent}!self.{field}.matches('{user}')", _NO_PASSWORD, f".{field}"),
    )


def when(condition: str, holds: str, message: str, field: str) -> Rule:
    """Another condition holds when the first does."""
    return Rule(f"!({condition}) || {holds}", message, f".{field}")
