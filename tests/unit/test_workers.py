"""Worker processes of one machine: which deaths count, and a stop that comes while one starts."""

from __future__ import annotations

import asyncio
import signal

import pytest

from penstock.local import workers
from penstock.local.workers import FALSE_START, STEADY, Workers, _Seat

SOON, LATER = FALSE_START / 2, (FALSE_START + STEADY) / 2

NOTHING: dict[str, int] = {"finished": 0}
SOMETHING = {"finished": 3}


@pytest.mark.parametrize(
    ("lives", "deaths", "false_starts"),
    [
        ([(SOON, None)] * 4, 4, 4),
        ([(LATER, None)] * 4, 4, 0),
        ([(SOON, NOTHING)] * 4, 4, 0),
        ([(SOON, SOMETHING)] * 4, 1, 0),
        ([(STEADY, NOTHING)] * 4, 1, 0),
        ([(STEADY, None)] * 4, 4, 0),
        ([(SOON, None)] * 4 + [(SOON, NOTHING), (SOON, None)], 6, 1),
        ([(SOON, NOTHING)] * 4 + [(SOON, SOMETHING), (SOON, NOTHING)], 2, 0),
    ],
)
def test_deaths_in_a_row(
    lives: list[tuple[float, dict[str, int] | None]], deaths: int, false_starts: int
) -> None:
    seat = _Seat(0)
    for number, (seconds, said) in enumerate(lives):
        seat.started = 100.0 * number
        seat.died(seat.started + seconds, said)
    assert (seat.deaths, seat.false_starts) == (deaths, false_starts)


async def test_a_stop_while_a_worker_starts_reaches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    started = workers._spawn
    team = Workers(1)

    async def asked_meanwhile() -> asyncio.subprocess.Process:
        process = await started()
        team.stop()  # finds no process in the seat
        return process

    monkeypatch.setattr(workers, "_spawn", asked_meanwhile)
    team._told = {"PENSTOCK_DATABASE_URL": "postgresql://127.0.0.1:1/none", "PENSTOCK_RUN": "1"}
    async with asyncio.timeout(60):
        assert await team._sit(team._seats[0]) == -signal.SIGTERM
