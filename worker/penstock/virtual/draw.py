"""A scenario file that describes many providers at once, and the one that a seed draws from it.

In place of a number or a duration may stand a range, `[120, 6000]` or `[200ms, 6s]`: drawn evenly
on a logarithmic scale where it begins above 0, evenly otherwise, and a whole number between whole
numbers. In place of anything may stand `{oneOf: [token, sliding, fixed]}`. Each place draws for
itself, so that a field that is added does not change what the others draw.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from pydantic import ValidationError

from penstock.errors import InputError, Mistake
from penstock.spec import yaml_text
from penstock.spec.mistakes import in_words, path_text
from penstock.spec.types import parse_duration
from penstock.virtual.scenario import Scenario

_ONE_OF = "oneOf"
_Place = tuple[int | str, ...]
_Pick = Callable[[_Place], Random]


class Population:
    """Everything a scenario file may mean. `draw` gives one of them."""

    def __init__(self, value: dict[str, Any]) -> None:
        self._value = value

    def draw(self, seed: int) -> Scenario:
        """The scenario of this seed. Raises InputError when what was drawn does not fit together,
        each mistake with its path."""
        return _validated(_drawn(self._value, (), lambda at: Random(f"{seed} {path_text(at)}")))

    @property
    def varies(self) -> bool:
        """Whether seeds differ in more than their chance."""
        return _varies(self._value)


def load(path: Path) -> Population:
    """The scenarios in this file. Raises InputError with every mistake, each with its line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise InputError.at(str(path), f"cannot be read: {reason}") from None
    return parse(text, str(path))


def parse(text: str, where: str) -> Population:
    """The scenarios in this text; `where` is what messages call it."""
    document = yaml_text.read(text, where)
    if not isinstance(document.value, dict):
        raise InputError.at(document.place(""), "not a scenario: wanted provider, pods, duration")
    population = Population(document.value)
    try:
        _check_ranges(document.value, ())
        # Mistakes at either end of a range and in any choice are told now, not at some later seed.
        for end in range(max(2, _most_choices(document.value))):
            _validated(_drawn(document.value, (), _ends(end)))
    except InputError as error:
        mistakes = [Mistake(document.place(one.where), one.message) for one in error.mistakes]
        raise InputError(mistakes) from None
    return population


class _End(Random):
    """Not random: the low end of ranges and the first choice (0), or the high end and another."""

    def __init__(self, end: int) -> None:
        super().__init__(0)
        self._end = end

    def uniform(self, a: float, b: float) -> float:
        return b if self._end else a

    def choice(self, seq: Any) -> Any:
        return seq[self._end % len(seq)]


def _ends(end: int) -> _Pick:
    return lambda _: _End(end)


def _validated(value: Any) -> Scenario:
    try:
        scenario = Scenario.model_validate(value, by_alias=True, by_name=False)
    except ValidationError as error:
        found = [in_words(Scenario, one) for one in error.errors(include_url=False)]
        raise InputError(found) from None
    if mistakes := scenario.mistakes():
        raise InputError(mistakes)
    return scenario


def _drawn(value: Any, at: _Place, pick: _Pick) -> Any:
    if isinstance(value, dict):
        if set(value) == {_ONE_OF}:
            return _drawn(pick(at).choice(value[_ONE_OF]), (*at, _ONE_OF), pick)
        return {key: _drawn(one, (*at, key), pick) for key, one in value.items()}
    if _is_range(value):
        low, high = (_number(end) for end in value)
        return _between(pick(at), low, high)
    if isinstance(value, list):
        return [_drawn(one, (*at, place), pick) for place, one in enumerate(value)]
    return value


def _between(rng: Random, low: float, high: float) -> float:
    if low > 0:
        found = math.exp(rng.uniform(math.log(low), math.log(high)))
    else:
        found = rng.uniform(low, high)
    found = min(max(found, low), high)
    return round(found) if isinstance(low, int) and isinstance(high, int) else found


def _is_range(value: Any) -> bool:
    """A list of two numbers or durations; no field of a scenario is a list of those."""
    if not isinstance(value, list) or len(value) != 2:
        return False
    return all(isinstance(end, int | float | str) and not isinstance(end, bool) for end in value)


def _number(end: Any) -> float:
    return parse_duration(end) if isinstance(end, str) else end


def _check_ranges(value: Any, at: _Place) -> None:
    if isinstance(value, dict):
        if _ONE_OF in value and (
            len(value) > 1 or not isinstance(value[_ONE_OF], list) or not value[_ONE_OF]
        ):
            raise InputError.at(path_text(at), "oneOf wants a list of values, and stands alone")
        choices = set(value) == {_ONE_OF}
        for key, one in value.items():
            if choices:  # its list is one of values, never a range
                for place, choice in enumerate(one):
                    _check_ranges(choice, (*at, key, place))
            else:
                _check_ranges(one, (*at, key))
    elif _is_range(value):
        try:
            low, high = (_number(end) for end in value)
        except ValueError as error:
            raise InputError.at(path_text(at), f"a range is [low, high]; {error}") from None
        if low > high:
            raise InputError.at(
                path_text(at), "a range is [low, high]; this one begins above its end"
            )
    elif isinstance(value, list):
        for place, one in enumerate(value):
            _check_ranges(one, (*at, place))


def _most_choices(value: Any) -> int:
    if isinstance(value, dict):
        own = len(value[_ONE_OF]) if set(value) == {_ONE_OF} else 0
        return max([own, *map(_most_choices, value.values())])
    return max(map(_most_choices, value), default=0) if isinstance(value, list) else 0


def _varies(value: Any) -> bool:
    if isinstance(value, dict):
        return _ONE_OF in value or any(map(_varies, value.values()))
    return _is_range(value) or (isinstance(value, list) and any(map(_varies, value)))
