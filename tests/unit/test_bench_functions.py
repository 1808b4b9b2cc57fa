"""What the bench of functions makes of a command that it watched."""

from __future__ import annotations

import pytest

from bench import function_rig, function_work
from bench.watch import DRIVER, SERVER, WORKER, Ended, Figures


def figures(cpu: float, peak: float) -> Figures:
    return Figures(processes=1, peak=peak, steady=peak, private=peak, cpu=cpu)


def test_the_worker_and_its_processes_count_and_the_work_between_start_and_end() -> None:
    roles = {
        DRIVER: figures(1, 70),
        WORKER: figures(2, 60),
        "python3": figures(30, 40),
        SERVER: figures(4, 90),
        "postgres: checkpointer": figures(5, 80),
        "penstock keeper": figures(6, 20),
    }
    rows = [{"begin": 104.0, "end": 109.5}, {"begin": 103.0, "end": 104.0}]

    went = function_rig.went(Ended(0, "", "", 12.0, 1.0, roles), rows)

    assert (went.seconds, went.work, went.cpu, went.memory) == (12.0, 6.5, 32.0, 60.0)


def test_a_function_that_does_not_tell_when_it_worked_has_no_time_of_work() -> None:
    went = function_rig.went(Ended(0, "", "", 12.0, 1.0, {WORKER: figures(2, 60)}), [])
    assert went.work == 0


def test_both_kinds_of_work_compute_the_same_wherever_they_run() -> None:
    first, again = (function_work.burn({"n": 7}, 1_000) for _ in range(2))
    assert first["value"] == again["value"]
    assert first["begin"] <= first["end"] <= again["begin"]
    assert function_work.quick_too({"n": 7})["value"] == 8


def test_the_middle_of_several_runs() -> None:
    runs = [function_rig.Went(seconds, 1.0, 1.0, 1.0) for seconds in (9.0, 1.0, 2.0)]
    assert function_rig.middle(runs, lambda one: one.seconds) == pytest.approx(2.0)
