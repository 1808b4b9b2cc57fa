"""Ctrl-C and SIGTERM: a run ends in good order, loses nothing, and the same command goes on."""

from __future__ import annotations

import signal
import time

import pytest

from tests.integration.chaos_support import (
    Command,
    Place,
    assert_every_item_once,
    eventually,
    provider,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

COUNT = 60
IN_FLIGHT = 8
FIXED = {"concurrency": {"min": IN_FLIGHT, "max": IN_FLIGHT}}
DRAIN = 10.0  # what calls in flight get after the first Ctrl-C
ENDING = 5.0  # what the rest of ending may take on a busy machine


def to_the_group(command: Command) -> None:
    """Ctrl-C in a terminal."""
    command.signal_group(signal.SIGINT)


def to_the_driver(command: Command) -> None:
    """`kill` of the command, by a supervisor for example."""
    command.process.terminate()


def hang_up(command: Command) -> None:
    """The terminal is closed."""
    command.signal_group(signal.SIGHUP)


@pytest.mark.parametrize("stop", [to_the_group, to_the_driver, hang_up])
def test_calls_in_flight_may_end(place: Place, stop: object) -> None:
    assert callable(stop)
    place.items(COUNT)
    with provider("--latency", "2s") as far_side:
        manifest = place.job(far_side.url, scaling=FIXED)
        command = place.run(manifest, "--workers", "2")
        far_side.has("accepted", 2 * 2 * IN_FLIGHT)  # two each have ended or are in flight
        stop(command)
        stopped = time.monotonic()
        code = command.ends()
        seconds = time.monotonic() - stopped
        first = far_side.stats()
        last = place.run(manifest)
        again = last.ends()
        stats = far_side.stats()
    print(f"ended {seconds:.1f} s after the signal, {first['accepted']} calls made by then")
    assert code == 130, command.output
    assert "stopping: calls in flight may end" in command.output
    assert seconds < DRAIN
    assert again == 0, last.output
    assert_every_item_once(place.rows(), COUNT)
    # Every call that was made before gave a result: none is made again.
    assert first["accepted"] < COUNT
    assert stats["accepted"] == COUNT


def test_those_that_take_too_long_are_given_up(place: Place) -> None:
    """Longer than the drain, nothing is waited for."""
    place.items(COUNT)
    with provider("--latency", "1s", "--hang-share", "0.2") as far_side:
        manifest = place.job(far_side.url, scaling=FIXED)
        command = place.run(manifest)
        far_side.has("accepted", 4 * IN_FLIGHT)
        command.signal_group(signal.SIGINT)
        stopped = time.monotonic()
        code = command.ends()
        seconds = time.monotonic() - stopped
        hung = far_side.stats()["faults"]["hung"]
    print(f"{hung} calls hung; ended {seconds:.1f} s after Ctrl-C")
    assert hung > 0
    assert code == 130, command.output
    assert seconds < DRAIN + ENDING


def test_the_second_is_quicker(place: Place) -> None:
    place.items(COUNT)
    with provider("--latency", "8s") as far_side:
        manifest = place.job(far_side.url, scaling=FIXED)
        command = place.run(manifest)
        far_side.has("accepted", IN_FLIGHT)
        command.signal_group(signal.SIGINT)
        command.says("again Ctrl-C drops them")
        stopped = time.monotonic()
        command.signal_group(signal.SIGINT)
        code = command.ends()
        seconds = time.monotonic() - stopped
    print(f"ended {seconds:.1f} s after the second Ctrl-C")
    assert code == 130, command.output
    assert seconds < ENDING
    done = place.start("status", "chaos", "--json")
    assert done.ends() == 0
    assert '"succeeded":0' in done.output


def test_ctrl_c_at_any_moment_before_the_work(place: Place) -> None:
    """While it gets its database, starts its workers and plans: no traceback, nothing lost."""
    place.items(COUNT)
    codes = []
    with provider("--latency", "10ms") as far_side:
        manifest = place.job(far_side.url, scaling=FIXED)
        for number in range(8):
            command = place.run(manifest)
            eventually("it comes to the database", command.has_database)
            command.lives_for(0.12 * number)
            command.signal_group(signal.SIGINT)
            codes.append(command.ends())
            assert "Traceback" not in command.output, command.output
        last = place.run(manifest)
        code = last.ends()
    print(f"exit codes {codes}")
    assert code == 0, last.output
    assert set(codes) <= {0, 130}
    assert_every_item_once(place.rows(), COUNT, {"succeeded", "skipped"})
