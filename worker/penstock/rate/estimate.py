"""What a limit allows in the long run, measured from the instants at which it was used up.

A token bucket that is empty at two instants has admitted exactly rate · time in between. A window
has admitted its limit in the window before each such instant. So each resumption measures; nothing
is searched for by trial (docs/explanation/rate-control.md). Pure; seconds of one clock.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from penstock.rate import window
from penstock.rate.episodes import Episode, Mark
from penstock.rate.journal import Journal
from penstock.rate.window import JUST_BEFORE, LONGEST

MARKS = 400
MINUTE, LIKELY = 60.0, 0.85
"""Seconds of the window that is most common; where a block came to an end sooner than so long after
the first call, this part of what was admitted is taken for a window's."""
SURE = 0.01
"""A doubt below which a limit counts as known."""
EXACT, SMALLEST_DOUBT, LARGEST_DOUBT = 1.6, 0.003, 0.1
"""EXACT: calls by which an account between two resumptions may be off."""
STRAY = 0.3
"""The same, times the root of the calls: how far a real provider strays."""
SHORTEST, FEWEST = 1.5, 16.0
"""Seconds, and calls at the pace, from which on two resumptions measure."""
UNDERUSED, WELL_USED = 2.0, 0.75
"""Calls by which a far side may have saved up while the pace lay below its limit, or while less
than this part of the pace was sent."""
CLEARING = 0.6
"""Of the doubt about a window's length, which whole seconds of Retry-After blur, is left after each
episode."""
LOOKS = 40
"""Instants at which it is asked what a bucket would have held."""
STRIKES = 3
RISEN = 1.3
"""Times a rate that was told: a pace so much higher is more than a full bucket lets through."""
MISREAD = 0.3
"""Doubt about a rate that was told, where much more passed before the first refusal."""
NEAREST, FURTHER = 0.3, 1.5
"""Seconds, and factor, between the resumptions that are compared when a window is looked for."""
EARLY = 0.15
"""Of a window: so early its limit may be used up."""
NEAR = 150.0
"""Calls: an episode that soon after another may be its echo."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast was sent between two episodes: (time, units a second) at each change, and by which
    fraction the last change raised it (0 when it was never raised)."""

    changes: Sequence[tuple[float, float]]
    step: float

    @property
    def last(self) -> float:
        """Units a second in the end."""
        return self.changes[-1][1]

    def sum(self, until: float) -> float:
        """Units that it let through at most."""
        ends = [at for at, _ in self.changes[1:]] + [until]
        return sum(pace * (end - at) for (at, pace), end in zip(self.changes, ends, strict=True))


class LimitEstimate:
    """A limit of one dimension. grain: units of a call.

    rate: units a second; None while no episode was seen. window: seconds of the window that counts,
    where one showed itself. doubt: how wrong the rate may be, as a fraction. floor: a rate that was
    kept up for long without a refusal; the limit is not below it.
    """

    def __init__(self, grain: float = 1.0) -> None:
        self.grain = grain
        self.rate: float | None = None
        self.window: float | None = None
        self.doubt = 0.5
        self.floor = 0.0
        self._marks: deque[Mark] = deque(maxlen=MARKS)  # since the rate was begun anew
        self._seen: deque[Mark] = deque(maxlen=MARKS)
        self._strikes = 0
        self._blur = 0.0
        self._shut = 0.0  # seconds of the block that alone showed the window; 0 once more did
        self._overflowed = float("-inf")

    @property
    def sure(self) -> bool:
        """Whether the limit is known well enough to look for changes only now and then."""
        return self.doubt <= SURE

    def begin(self, journal: Journal, episode: Episode) -> None:
        """The first episode of all: nothing is known but what came before it."""
        assert journal.first is not None
        if episode.is_long(self.grain):
            self._first_window(journal, episode)
        else:
            span = min(1.0, max(episode.began - journal.first, 0.2))
            recent = journal.between(episode.began - span, episode.began) / span
            self.rate = 0.8 * max(recent, 0.5 * self.grain)
            self.doubt = 0.5
        self._mark(episode)

    def begin_at(self, rate: float, doubt: float) -> None:
        """The rate is about this, as others found out."""
        self.rate, self.doubt = rate, doubt

    def kept_up(self, seconds: float, units: float) -> None:
        """So much was admitted since the last resumption, without a refusal."""
        window = self.window or 0.0
        if units >= 40 * self.grain and seconds > max(6.0, 1.05 * window):
            over = seconds + EARLY * window
            self.floor = max(self.floor, (units - EXACT * self.grain) / over)

    def learn(self, journal: Journal, episode: Episode, pace: Pace, dense: float | None) -> bool:
        """A later episode. dense: what was admitted a second while every few calls were refused;
        None when refusals are rare. Returns whether it fits what was known of the limit: else the
        rate was begun anew."""
        fits = False
        if not self._marks:
            # The rate was told, or learned by an earlier job: nothing to measure from yet.
            assert self.rate is not None
            assert journal.first is not None
            seconds = episode.ended - journal.first
            a_window = episode.is_long(self.grain) and seconds < LONGEST
            passed = episode.total / max(seconds, 1e-3)
            if a_window and abs(passed / self.rate - 1) < 0.2:
                self._first_window(journal, episode)
            elif pace.step and pace.last > RISEN * self.rate:
                # It was raised since, and that was kept up until now.
                self.rate, self.doubt = pace.last / (1 + 0.6 * pace.step), LARGEST_DOUBT
            elif passed > 2 * self.rate and episode.total > NEAR / 2 * self.grain:
                self.doubt = max(self.doubt, MISREAD)  # a full bucket, or another unit of time
        elif self._shut and self._cleared_window(journal, episode):
            pass
        elif episode.is_long(self.grain):
            self._by_block(journal, episode)
        elif self.window is None and self._found_window(journal, episode):
            pass
        elif dense is not None and self.window is None and dense < 0.85 * pace.last:
            self._restart(dense, doubt=0.2)
        else:
            fits = True
            self._check_floor(episode, pace)
            self._by_accounts(journal, episode, pace)
        self._mark(episode)
        return fits

    def _first_window(self, journal: Journal, episode: Episode) -> None:
        """A window that is full for long, and whose first admission was the first of all."""
        assert journal.first is not None
        seconds = episode.ended - journal.first
        self._shut = episode.shut - episode.began
        if seconds < LONGEST:
            self.window, units = seconds, episode.total
            self._blur = 0.6 / seconds  # Retry-After comes in whole seconds
            if episode.began - journal.first > seconds / 2:  # others may have passed before it
                self._blur = max(self._blur, LARGEST_DOUBT)
            if seconds < MINUTE - 5:  # one that does not slide may have begun before that
                units *= LIKELY
        else:  # no window lasts so long: refused calls counted, too, or it was long in filling
            self.window, self._blur = MINUTE, LARGEST_DOUBT
            units = max(self.grain, journal.between(episode.began - MINUTE, episode.began))
        self.rate = units / self.window
        self.doubt, self.floor = self._blur, 0.0

    def _by_block(self, journal: Journal, episode: Episode) -> None:
        """A window that is full for long: from one such block to the next its limit passes."""
        before = next((mark for mark in reversed(self._marks) if mark.long), None)
        if before is None:  # what was refused for a moment when the window had just become full
            self._first_window(journal, episode)
            self._marks.clear()
            return
        seconds = episode.ended - before.at
        if self.window is None or _is_another(seconds, self.window):
            self.window = seconds
        units = journal.between(episode.ended - self.window, episode.ended - JUST_BEFORE)
        self._restart(max(units, self.grain) / self.window, SURE)

    def _found_window(self, journal: Journal, episode: Episode) -> bool:
        marks = _spread(self._seen, episode.mark(self.grain))
        found = window.find(journal, marks, self.grain)
        if found is None:
            return False
        self._take(found)
        return True

    def _cleared_window(self, journal: Journal, episode: Episode) -> bool:
        """How long the window is that only one block told of: another refusal tells more."""
        if self.window is None:
            return False
        both = self._seen[-1], episode.mark(self.grain)
        found = window.common(journal, both, self.grain, self._shut, self.window)
        if found is None:
            return False
        self._take(found)
        self._blur = self._shut = 0.0
        return True

    def _take(self, found: window.Window) -> None:
        self.window, self.rate = found.seconds, found.units / found.seconds
        self.doubt, self.floor = 0.02, 0.0

    def _check_floor(self, episode: Episode, pace: Pace) -> None:
        """Refusals at a pace that was kept up before: echoes, or the limit has come down."""
        soon = episode.total - self._marks[-1].total < NEAR * self.grain
        if not soon:
            self._strikes = 0
        elif pace.last <= 1.004 * self.floor:
            self._strikes += 1
            if self._strikes >= STRIKES:
                self._strikes, self.floor = 0, 0.0

    def _by_accounts(self, journal: Journal, episode: Episode, pace: Pace) -> None:
        before = self._marks[-1]
        units = episode.total - before.total
        lately = units / max(episode.began - before.at, 1e-3)
        # Where a bucket may have overflowed meanwhile, the limit lies between what was admitted and
        # the pace at which it was refused.
        passed = units / self.grain
        spare = self.grain * max(UNDERUSED, STRAY * math.sqrt(passed), SURE * passed)
        unused = units < WELL_USED * pace.sum(episode.began)
        may_overflow = self.window is None and (pace.step or unused)
        if may_overflow and _saved(journal, before, episode, lately) > spare:
            if pace.step:
                rate = min(pace.last, max(lately, self.floor, pace.last / (1 + 0.6 * pace.step)))
                floor = self.floor
                self._restart(rate, min((pace.last - rate) / rate, LARGEST_DOUBT))
                self.floor = floor
            else:
                self.rate = max(self.floor, math.sqrt(lately * pace.last))
                self.doubt, self._overflowed = LARGEST_DOUBT, episode.began
            return
        assert self.rate is not None
        known, calls = self.rate, 0.0
        if self.window is not None and episode.ended - (journal.first or 0.0) > self.window:
            last = episode.ended - JUST_BEFORE
            units = max(self.grain, journal.between(last - self.window, last))
            kept = _kept(journal, pace, 2 * self.window)
            self.rate, calls = max(self.floor, kept, units / self.window), units / self.grain
        else:
            self.rate, calls = self._from_pairs(episode, pace)
        by_count = STRAY * EXACT / calls if calls else LARGEST_DOUBT / 2
        by_change = min(LARGEST_DOUBT, abs(self.rate - known) / self.rate / 2)
        self._blur *= CLEARING
        self.doubt = max(SMALLEST_DOUBT, by_count, by_change, self._blur)

    def _from_pairs(self, episode: Episode, pace: Pace) -> tuple[float, float]:
        """The rate that agrees with the accounts from as many resumptions, back from this one, as
        agree with each other; and the calls in the longest of them (0: none measures yet)."""
        assert self.rate is not None
        shortest = max(SHORTEST, FEWEST * self.grain / pace.last, self.window or 0.0)
        low, high, rate, most = 0.0, math.inf, self.rate, 0.0
        for mark in reversed(self._marks):
            if mark.at < self._overflowed:
                break
            seconds, calls = episode.ended - mark.at, (episode.total - mark.total) / self.grain
            if seconds < shortest or calls < 10:
                continue
            slack = EXACT + STRAY * math.sqrt(calls)
            a_call = self.grain / seconds
            if (calls - slack) * a_call > high or (calls + slack) * a_call < low:
                break  # the limit was another one then
            low, high = max(low, (calls - slack) * a_call), min(high, (calls + slack) * a_call)
            rate, most = calls * a_call, calls
        if most:
            return max(self.floor, min(max(rate, low), high)), most
        mark = next(mark for mark in self._marks if mark.at >= self._overflowed)
        seconds, calls = episode.ended - mark.at, (episode.total - mark.total) / self.grain
        if seconds <= 0:
            return rate, 0.0
        slack, a_call = EXACT + 0.1 * calls, self.grain / seconds
        return min(max(rate, (calls - slack) * a_call), (calls + slack) * a_call), 0.0

    def _restart(self, rate: float, doubt: float) -> None:
        """What was measured before no longer counts."""
        self.rate, self.doubt, self.floor = rate, max(SMALLEST_DOUBT, doubt), 0.0
        self._marks.clear()

    def _mark(self, episode: Episode) -> None:
        self._marks.append(episode.mark(self.grain))
        self._seen.append(episode.mark(self.grain))


def _kept(journal: Journal, pace: Pace, seconds: float) -> float:
    """Units a second that were let through before the pace was raised last; 0 where that was not
    for so many seconds without a refusal. Two windows hold a whole one, whenever that begins."""
    since, until = pace.changes[0][0], pace.changes[-1][0]
    if until - since < seconds:
        return 0.0
    return journal.between(until - seconds, until) / seconds


def _spread(marks: Sequence[Mark], last: Mark) -> list[Mark]:
    """The last one and some before it, each so much further back that it can tell more."""
    chosen, distance = [last], NEAREST
    for mark in reversed(marks):
        back = last.at - mark.at
        if back > 2 * LONGEST:
            break
        if back >= distance:
            chosen.append(mark)
            distance = back * FURTHER
    return chosen[::-1]


def _saved(journal: Journal, since: Mark, until: Episode, rate: float) -> float:
    """Units that a bucket of this rate, empty at `since`, would have held at most until then."""
    step = (until.began - since.at) / LOOKS
    times = (since.at + step * look for look in range(1, LOOKS + 1))
    return max(rate * (at - since.at) + since.total - journal.until(at) for at in times)


def _is_another(seconds: float, known: float) -> bool:
    """Whether blocks so far apart show a longer window than the one that is known, and not some of
    that one after the other."""
    several = max(1, round(seconds / known))
    return seconds > 1.03 * known and abs(seconds / several / known - 1) > 0.1 and seconds < LONGEST
