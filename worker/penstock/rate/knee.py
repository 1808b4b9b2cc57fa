"""The number of calls in flight past which more brings nothing, for the whole fleet. Pure.

A far side that is overloaded often says nothing and only gets slower. Latency alone does not tell
where that begins: it grows well before the last bit of throughput is had. So this compares
throughput at different numbers of calls in flight, in two phases.

Climb: from a few calls up in jumps while each brings a fair part of what it would bring to an idle
server; a jump that brings too little is taken back and tried smaller. Where none was kept, down.
Hold: stay at home, and now and then look at the next number above or below. Probes are paid from a
loss budget, a share of all answers, and made only while what they may find is worth more than they
cost. What was found fades, and when home's own rate changes, the others are thought to have changed
as much.
"""

from __future__ import annotations

import math

from penstock.rate.throughput import Estimate, Meter, Spread, guess

START = 8
KEEP = -math.log(0.97)
"""Home is the smallest number with this part of the best throughput."""
RISING = 0.2
"""A jump is kept when the throughput rises by at least this power of the calls in flight."""
UNHURT = 0.75
"""Of what a jump brings to an idle server."""
BETTER = 0.2
"""Where the climb began above the knee, fewer calls are kept when the throughput rises so much."""
STEEP = 0.5
"""A step up in hold that rises so much begins another climb."""
SHORTEST = 1e-3
"""Seconds: in less nothing can be told."""
FULL = 0.85
"""With a smaller part of the allowed calls in flight, something else holds the calls back."""
OVERFULL = 1.25
"""With more, workers have not all heard yet,"""
SETTLED = 2.0
"""for which the climb waits so many seconds at most."""
PACE_ROOM = 1.5
"""What is paced may have so many times the calls in flight that the pace needs."""
REPORTS = 2.0
"""Seconds until every worker has heard of a new number and what it reports is of that number."""
REPORTS_CLIMBING = 0.3
"""The same in the climb, in which workers report more often and less will do."""
COARSE = 0.25
"""What the climb measured counts with this part of its answers in hold."""
LEAST_EPOCH = 24.0
"""Answers of a measurement in hold, at least."""
LOSS = 0.01
"""Part of the answers that probes may cost in the long run."""
SURE_BELOW, SURE_ABOVE = 1.0, 1.7
"""Standard errors by which a move must be a gain. More above, where there is much to be tried: on a
flat curve chance alone would lead up."""
LEAST_COST = 0.08
"""A probe costs at least so much, as a part of its answers, even if it loses none."""
HORIZON = 200
"""What a probe finds is worth having for so many measurements at home."""
FADE = 0.98
"""What is known of other numbers fades so much with each of them."""


class Knee:
    """Finds the knee and stays there. Numbers are calls in flight of the whole fleet."""

    def __init__(
        self, minimum: int, maximum: int, home: int | None = None, start: int = START
    ) -> None:
        """Between minimum and maximum, both at least 1 (else ValueError); the same number twice:
        fixed, nothing is tried. home: where an earlier one had found the knee, to begin there;
        start: where the search begins else."""
        self._minimum, self._maximum = _checked(minimum, maximum)
        self._level = min(max(home or start, minimum), maximum)
        self._home = self._level
        self._climbing = home is None and minimum < maximum
        self._rose = False  # whether a jump was kept
        self._ceiling: int | None = None  # the smallest jump of this climb that was taken back
        self._rates: dict[int, Estimate] = {}  # of each number that was measured
        self._by_latency = Estimate(0.0, 1.0)  # home's in the climb, as latencies tell it
        self._spread = Spread()
        self._credit = 0.0  # answers that probes may cost
        self._meter = Meter(0.0, REPORTS_CLIMBING)
        self._next_look = float(self._level)
        self._now: float | None = None
        self._changed = math.inf  # when the level became what it is
        self._cut = 0  # the level before there were fewer workers
        self._needed = 0.0  # calls in flight that a pace needs, a moving mean

    def resize(self, minimum: int, maximum: int) -> None:
        """Other bounds, as when workers come and go; what is known is kept."""
        self._minimum, self._maximum = _checked(minimum, maximum)
        wanted = max(self._level, self._cut)
        self._cut = wanted if wanted > maximum else 0
        level = min(max(wanted, minimum), maximum)
        if level != self._level or not minimum <= self._home <= maximum:
            self._home, self._ceiling = level, None
            self._go(level)

    def begin_at(self, level: int) -> None:
        """A better start, if nothing was measured yet."""
        level = min(level, self._maximum)
        if self._climbing and not self._rates and level > self._level:
            self._home = level
            self._go(level)

    @property
    def level(self) -> int:
        """Calls that may be in flight, but for what a pace needs."""
        return self._level

    @property
    def home(self) -> int | None:
        """The knee; None while it is looked for."""
        return None if self._climbing else self._home

    def observe(
        self, now: float, completed: int, busy_seconds: float, in_flight: float, limited: bool
    ) -> int:
        """Learn from the time since the call before; returns the calls that may be in flight now.

        completed: calls answered (429s are no answers); busy_seconds: the sum of their latencies;
        in_flight: the mean number. limited: something else held calls back (a pace, a pause, no
        items), so that this time tells nothing about the knee.
        """
        seconds = 0.0 if self._now is None else now - self._now
        self._now = now
        self._changed = min(self._changed, now)
        if seconds < SHORTEST or self._minimum == self._maximum:
            return self._level
        if limited:
            return self._paced(busy_seconds / seconds, seconds, in_flight)
        if self._needed:
            return self._unpaced()
        settling = self._climbing and now - self._changed < SETTLED
        if in_flight < FULL * self._level or (settling and in_flight > OVERFULL * self._level):
            self._measure(in_flight)
            return self._level
        self._meter.add(seconds, completed, busy_seconds, in_flight)
        if self._climbing:
            self._climb()
        else:
            self._hold()
        return self._level

    def explain(self) -> str:
        """In plain words, what is known."""
        if self._minimum == self._maximum:
            return f"{self._level} calls in flight, fixed"
        if self._climbing:
            return f"looking for the knee, {self._level} calls in flight so far"
        if self._home == self._maximum:
            return f"no knee up to {self._maximum} calls in flight"
        knee = f"knee at {self._home}: more calls at once"
        above = self._above(self._home)
        if above not in self._rates or self._home not in self._rates:
            return f"{knee} do not make the far side faster"
        percent = 100 * math.expm1(self._rates[above].log - self._rates[self._home].log)
        if self._gain(above) > 0:
            return f"knee at {self._home} so far: it is being tried whether {above} are better"
        if percent >= 0:
            return f"{knee} hardly make the far side faster ({above}: by {percent:.1f} %)"
        return f"{knee} make the far side slower ({above}: by {-percent:.1f} %)"

    def _paced(self, needed: float, seconds: float, in_flight: float) -> int:
        """Nothing is learned; home stays allowed, and what the pace needs with room."""
        old = self._needed or needed
        self._needed = old + (needed - old) * min(1.0, seconds)
        if not self._climbing:
            self._level = self._home
        self._measure(in_flight)
        return min(max(self._level, math.ceil(PACE_ROOM * self._needed)), self._maximum)

    def _unpaced(self) -> int:
        """A climb goes on from where the pace had brought it."""
        reached = self._nearest(max(self._needed, 1.0))
        self._needed = 0.0
        if self._climbing and reached > self._level:
            self._home, self._ceiling = reached, None
            self._go(reached)
        return self._level

    def _go(self, level: int) -> None:
        before, self._level, self._changed = self._level, level, self._now or 0.0
        self._measure(before)

    def _measure(self, in_flight: float) -> None:
        """Begin a measurement at this level; so many calls under way are not of it."""
        self._meter = Meter(
            in_flight if self._climbing else max(in_flight, self._level),
            REPORTS_CLIMBING if self._climbing else REPORTS,
        )
        self._next_look = max(8.0, self._level / 2)

    def _climb(self) -> None:
        answers, level = self._meter.answers, self._level
        if answers < self._next_look or self._meter.seconds < 0.5 * REPORTS_CLIMBING:
            return
        self._next_look = 2 * answers  # many looks would find by chance what is not there
        measured, by_latency = self._meter.estimate(), self._meter.by_latency()
        measured.answers *= COARSE
        if level != self._home and self._home in self._rates:
            jump, before = math.log(level / self._home), self._rates[self._home]
            gain = measured.log - before.log
            # Calls that start together end together, which looks like a gain; but they take long.
            if jump > 0 and by_latency.log < self._by_latency.log:
                gain = min(gain, 0.0)
            doubt = 1.5 * COARSE**0.5 * self._spread.error(measured, before)
            wanted = RISING * jump if jump > 0 else BETTER
            close, few = abs(gain - wanted) <= doubt, answers < max(16, level)
            if close and answers < (max(64, 2 * level) if gain < wanted else max(16, level)):
                return  # too close to tell yet
            if gain < wanted and few:
                return  # to stay low for nothing costs more than to look once more
            if gain < wanted:
                self._rates[level] = measured
                if jump < 0:
                    self._stay()
                else:
                    self._too_many(gain)
                return
        fell, jump = level < self._home, math.log(level / self._home)
        unhurt = jump > 0 and by_latency.log - self._by_latency.log > UNHURT * jump
        self._rose = self._rose or level > self._home
        self._home, self._rates[level], self._by_latency = level, measured, by_latency
        if fell:
            self._fall()
            return
        # Where round trips are short, a jump too far is seen and taken back in no time; where calls
        # take no longer than before, the knee is far.
        rounds = answers / level / self._meter.seconds
        self._jump(8.0 if rounds >= 32 else 4.0 if rounds >= 8 or unhurt else 2.0)

    def _jump(self, factor: float) -> None:
        """The next trial of this climb; where none is left, stay."""
        home, ceiling = self._home, self._ceiling
        wanted = home * factor if ceiling is None else math.sqrt(home * ceiling)
        level = max(self._nearest(wanted), self._above(home))
        if level > home and (ceiling is None or level < ceiling):
            self._go(level)
        elif self._rose or ceiling is None:
            self._stay()
        else:
            self._fall()

    def _too_many(self, gain: float) -> None:
        """A jump brought too little; gain: what it brought, as a logarithm."""
        factor = self._level / self._home
        self._ceiling = self._level
        # Where calls hinder each other, throughput falls so steeply only if home is too many, too.
        if gain > -math.log(factor) * (factor - 1) / (factor + 1):
            self._jump(2.0)
        elif self._rose:
            self._stay()
        else:
            self._fall()

    def _fall(self) -> None:
        """The climb began above the knee: half as many, while that brings more."""
        level = self._nearest(self._home / 2)
        if level < self._home:
            self._go(level)
        else:
            self._stay()

    def _stay(self) -> None:
        """The climb is over."""
        self._climbing = False
        # Who rose to the maximum knows enough: fewer would bring less.
        at_maximum = self._home == self._maximum and self._ceiling is None
        self._credit = 0.0 if at_maximum else self._span(self._home)
        self._go(self._home)

    def _hold(self) -> None:
        epoch = _epoch(self._level)
        if self._meter.answers < epoch or self._meter.seconds < REPORTS:
            return
        measured = self._meter.estimate()
        if self._level == self._home:
            self._at_home(measured)
        else:
            self._probed(measured)

    def _at_home(self, measured: Estimate) -> None:
        known = self._rates.setdefault(self._home, Estimate(measured.log, 1.0))
        if self._spread.surprise(known, measured):
            change = measured.log - known.log
            for one in self._rates.values():
                one.log += change
                one.answers = min(one.answers, LEAST_EPOCH)
            self._credit = max(self._credit, self._span(self._home))
        known.add(measured)
        for level, one in list(self._rates.items()):
            one.answers *= 1.0 if level == self._home else FADE
            if one.answers < 1:
                del self._rates[level]
        self._credit += LOSS * self._meter.answers
        self._meter = Meter(0.0, 0.0)
        level = max(self._candidates(), key=self._worth, default=self._home)
        if level != self._home and self._worth(level) > 1 and self._credit >= self._cost(level):
            self._credit -= self._cost(level)
            self._go(level)

    def _probed(self, measured: Estimate) -> None:
        level, home = self._level, self._home
        rate = self._rates[level] = self._rate(level)
        rate.add(measured)
        sure = SURE_ABOVE if level > home else SURE_BELOW
        if self._gain(level) < sure * self._spread.error(rate, self._rates[home]):
            self._go(home)
            return
        rise = rate.log - self._rates[home].log
        self._climbing = level > home and rise >= STEEP * math.log(level / home)
        self._rose, self._ceiling = True, None
        self._home = level
        self._credit = max(self._credit, self._span(level) / 2)
        self._measure(0)

    def _rate(self, level: int) -> Estimate:
        """What is known of a number; of one that was not tried, what is likely."""
        found = self._rates.get(level)
        return found if found is not None else guess(self._rates, level)

    def _gain(self, level: int) -> float:
        """What home would gain by moving: fewer calls in flight are a gain, too."""
        ratio = self._rate(level).log - self._rates[self._home].log
        return ratio + (KEEP if level < self._home else -KEEP)

    def _candidates(self) -> set[int]:
        """Where home might move: a step or two up or down, or where something is known."""
        home = self._home
        near = {self._above(home), self._nearest(home * 2)}
        near |= {self._below(home), self._nearest(home / 2)}
        known = {level for level in self._rates if self._minimum <= level <= self._maximum}
        return (near | known) - {home}

    def _worth(self, level: int) -> float:
        """How many times its cost a probe of this number is expected to bring."""
        error = self._spread.error(self._rate(level), self._rates[self._home])
        sure = self._gain(level) / error
        chance = (1 + math.erf(sure / math.sqrt(2))) / 2
        density = math.exp(-(sure**2) / 2) / math.sqrt(2 * math.pi)
        gain = error * (density + sure * chance)  # the mean of what is above 0
        return HORIZON * self._span(self._home) * gain / self._cost(level)

    def _cost(self, level: int) -> float:
        """Answers that a probe of this number will probably cost, the way there included."""
        loss = -math.expm1(self._rate(level).log - self._rates[self._home].log)
        return max(LEAST_COST, loss) * 1.5 * max(self._span(level), self._span(self._home))

    def _span(self, level: int) -> float:
        """Answers that come while a number is measured in hold."""
        return max(_epoch(level), REPORTS * math.exp(self._rate(level).log))

    def _above(self, level: int) -> int:
        step = math.floor(2 * math.log2(level)) + 1
        while _rung(step) <= level:
            step += 1
        return min(_rung(step), self._maximum)

    def _below(self, level: int) -> int:
        step = math.ceil(2 * math.log2(level)) - 1
        while step > 0 and _rung(step) >= level:
            step -= 1
        return max(_rung(max(step, 0)), self._minimum)

    def _nearest(self, wanted: float) -> int:
        level = _rung(round(2 * math.log2(wanted)))
        return min(max(level, self._minimum), self._maximum)


def _checked(minimum: int, maximum: int) -> tuple[int, int]:
    if not 1 <= minimum <= maximum:
        raise ValueError(f"wanted 1 <= minimum <= maximum, got {minimum} and {maximum}")
    return minimum, maximum


def _epoch(level: int) -> float:
    """Answers of one measurement in hold, at least."""
    return max(LEAST_EPOCH, 2.0 * level)


def _rung(step: int) -> int:
    """The ladder of numbers that are tried: 1 2 3 4 6 8 11 16 23 32 45 64 …"""
    return round(math.sqrt(2.0) ** step)
