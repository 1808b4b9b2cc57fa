"""`penstock simulate` as a process of its own, and in virtual time."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import aiohttp
import pytest
import typer
from typer.testing import CliRunner, Result

import penstock
from penstock import jsons
from penstock.cli.simulate import simulate
from penstock.errors import InputError
from penstock.simulate.options import SimulatorConfig
from penstock.simulate.serve import serve
from penstock.simulate.server import running

PROGRAM = "import typer; from penstock.cli.simulate import simulate; typer.run(simulate)"


def program() -> typer.Typer:
    app = typer.Typer()
    app.command()(simulate)
    return app


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_announces_itself_serves_and_ends_with_its_counts(number: signal.Signals) -> None:
    options = ["--port", "0", "--rpm", "2", "--depth", "60", "--model", "known", "--key", "k"]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", PROGRAM, *options),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(penstock.__file__).parents[1])},
    )
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    assert line.startswith("simulator listening on http://127.0.0.1:")
    base = line.split()[3]
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer k"}) as session:
        statuses = []
        for _ in range(3):
            async with session.post(f"{base}/items", json={}) as response:
                statuses.append(response.status)
    assert statuses == [200, 200, 429]
    process.send_signal(number)
    rest = await process.stdout.read()
    assert await process.wait() == 0
    report = jsons.loads(rest)
    assert (report["accepted"], report["refused"], report["duplicates"]) == (2, 1, 1)


async def test_an_address_that_is_taken_is_named() -> None:
    async with running() as base:
        port = int(base.rpartition(":")[2])
        with pytest.raises(InputError, match=f"--port {port}: cannot listen"):
            await serve(SimulatorConfig(), port=port)


def test_help_shows_what_to_type() -> None:
    result = CliRunner().invoke(program(), ["--help"])
    assert result.exit_code == 0
    assert "penstock simulate --rpm 500 --latency 400ms" in result.output


@pytest.mark.parametrize("wrong", ["fast", "-1s", "1 minute"])
def test_a_duration_that_is_none_is_refused(wrong: str) -> None:
    result = CliRunner().invoke(program(), [f"--latency={wrong}"])
    assert result.exit_code == 2
    assert "Invalid value for '--latency'" in result.output


def test_an_option_that_cannot_be_is_an_input_error() -> None:
    result = CliRunner().invoke(program(), ["--error-share", "3"])
    assert isinstance(result.exception, InputError)


SCENARIO = """\
provider: {requestsPerMinute: 600, latency: {median: 200ms}}
pods: 2
duration: 90s
warmup: 30s
"""


def in_virtual_time(tmp_path: Path, scenario: str, *options: str) -> Result:
    path = tmp_path / "scenario.yaml"
    path.write_text(scenario)
    return CliRunner().invoke(program(), ["--virtual", str(path), *options])


def test_a_scenario_runs_in_virtual_time(tmp_path: Path) -> None:
    result = in_virtual_time(tmp_path, SCENARIO, "--seeds", "2", "--json")
    assert result.exit_code == 0
    found = jsons.loads(result.output)
    assert list(found) == ["goodput", "throttled", "episodes", "limitLearned"]
    assert 0.5 < found["goodput"] <= 1.2
    assert 0 <= found["throttled"] < 0.3
    again = in_virtual_time(tmp_path, SCENARIO, "--seeds", "2", "--json")
    assert again.output == result.output
    other = in_virtual_time(tmp_path, SCENARIO, "--seeds", "2", "--seed", "7", "--json")
    assert other.output != result.output


def test_people_see_what_was_run_and_what_came_of_it(tmp_path: Path) -> None:
    result = in_virtual_time(tmp_path, SCENARIO, "--seeds", "1", "--algorithm", "aimd")
    assert result.output.startswith(
        "600 requests/min (token bucket 1s) · 2 pods · 1m30s · aimd · 1 seed\n"
    )
    assert "goodput" in result.output


def test_a_short_job_is_told_in_seconds(tmp_path: Path) -> None:
    found = jsons.loads(in_virtual_time(tmp_path, SCENARIO + "items: 100", "--json").output)
    assert found["idealSeconds"] == pytest.approx(10)
    assert 8 < found["seconds"] < 30


def test_options_of_a_server_do_not_go_with_a_scenario(tmp_path: Path) -> None:
    result = in_virtual_time(tmp_path, SCENARIO, "--rpm", "5", "--error-share", "0.1")
    assert isinstance(result.exception, InputError)
    assert [mistake.where for mistake in result.exception.mistakes] == ["--rpm", "--error-share"]


def test_a_wrong_scenario_is_told_with_its_place(tmp_path: Path) -> None:
    result = in_virtual_time(tmp_path, SCENARIO.replace("600", "-600"))
    assert isinstance(result.exception, InputError)
    assert "scenario.yaml:1 provider.requestsPerMinute: wanted at least 0" in str(result.exception)
