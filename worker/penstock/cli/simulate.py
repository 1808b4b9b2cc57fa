"""`penstock simulate`: the options of a provider on the command line, or one in virtual time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from penstock.cli import failures
from penstock.cli.options import Json, print_json, print_lines
from penstock.errors import InputError, Mistake
from penstock.simulate.options import Hints, LimitBy, LimitKind, SimulatorConfig
from penstock.spec.types import parse_duration

_LIMITS = "Limits"
_TIME = "Time an answer takes"
_FAULTS = "Faults"
_ACCOUNT = "Account and answers"
_VIRTUAL = "In virtual time"
_OF_VIRTUAL = {"virtual", "seeds", "algorithm", "json", "seed"}


def _duration(text: str) -> float:
    """Seconds of `400ms`, `2s`, `1m`, or of a bare number."""
    try:
        return parse_duration(float(text) if text.replace(".", "", 1).isdigit() else text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def simulate(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 8000,
    rpm: Annotated[
        float | None,
        typer.Option(metavar="N", rich_help_panel=_LIMITS, help="Requests a minute; then 429."),
    ] = None,
    tpm: Annotated[
        float | None,
        typer.Option(
            metavar="N",
            rich_help_panel=_LIMITS,
            help="Tokens a minute: prompt and max_tokens (or, where that is not stated, answer).",
        ),
    ] = None,
    limit: Annotated[
        LimitKind,
        typer.Option(
            rich_help_panel=_LIMITS,
            help="How they are counted: a bucket that refills evenly, at most N in any window, "
            "or at most N from one tick of the window to the next.",
        ),
    ] = "token",
    depth: Annotated[
        float,
        typer.Option(
            parser=_duration,
            metavar="DURATION",
            rich_help_panel=_LIMITS,
            help="How much a token bucket holds: 60s lets a whole minute's worth through at once.",
        ),
    ] = "1s",  # type: ignore[assignment]  # typer parses the text
    window: Annotated[
        float,
        typer.Option(
            parser=_duration,
            metavar="DURATION",
            rich_help_panel=_LIMITS,
            help="Length of a sliding or fixed window; it lets rpm * window / 60s through.",
        ),
    ] = "60s",  # type: ignore[assignment]
    limit_by: Annotated[
        LimitBy,
        typer.Option(rich_help_panel=_LIMITS, help="Whom a limit is counted for."),
    ] = "key",
    count_rejected: Annotated[
        bool,
        typer.Option(
            "--count-rejected", rich_help_panel=_LIMITS, help="Calls refused with 429 count, too."
        ),
    ] = False,
    hints: Annotated[
        Hints,
        typer.Option(
            rich_help_panel=_LIMITS,
            help="What a client is told: nothing, Retry-After with a 429, or x-ratelimit-* with "
            "every answer as well.",
        ),
    ] = "none",
    latency: Annotated[
        float,
        typer.Option(
            parser=_duration, metavar="DURATION", rich_help_panel=_TIME, help="Median, e.g. 400ms."
        ),
    ] = "0s",  # type: ignore[assignment]
    sigma: Annotated[
        float,
        typer.Option(
            metavar="X",
            rich_help_panel=_TIME,
            help="Spread (log-normal): 0 none, 0.5 like a chat model.",
        ),
    ] = 0.0,
    straggler_share: Annotated[
        float,
        typer.Option(metavar="SHARE", rich_help_panel=_TIME, help="Share of calls that straggle."),
    ] = 0.0,
    straggler_factor: Annotated[
        float,
        typer.Option(
            metavar="X", rich_help_panel=_TIME, help="A straggler takes so many times as long."
        ),
    ] = 10.0,
    slots: Annotated[
        int,
        typer.Option(
            metavar="N",
            rich_help_panel=_TIME,
            help="Calls worked on at once, others queue (Ollama: 4); 0 is no limit.",
        ),
    ] = 0,
    contention: Annotated[
        float,
        typer.Option(
            metavar="N",
            rich_help_panel=_TIME,
            help="Concurrent calls at which the backend is fastest; more than N make everything "
            "slower. 0 is no contention.",
        ),
    ] = 0.0,
    error_share: Annotated[
        float,
        typer.Option(metavar="SHARE", rich_help_panel=_FAULTS, help="Share of calls that get 500."),
    ] = 0.0,
    overloaded_share: Annotated[
        float,
        typer.Option(metavar="SHARE", rich_help_panel=_FAULTS, help="Share of calls that get 503."),
    ] = 0.0,
    drop_share: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            rich_help_panel=_FAULTS,
            help="Share of calls that are worked on, but whose connection closes with no answer.",
        ),
    ] = 0.0,
    hang_share: Annotated[
        float,
        typer.Option(
            metavar="SHARE", rich_help_panel=_FAULTS, help="Share of calls never answered."
        ),
    ] = 0.0,
    hang_seconds: Annotated[
        float,
        typer.Option(
            parser=_duration,
            metavar="DURATION",
            rich_help_panel=_FAULTS,
            help="How long such a call is held when the client does not go.",
        ),
    ] = "10m",  # type: ignore[assignment]
    garbage_share: Annotated[
        float,
        typer.Option(
            metavar="SHARE", rich_help_panel=_FAULTS, help="Share of 200s whose body is not JSON."
        ),
    ] = 0.0,
    drop_item_share: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            rich_help_panel=_FAULTS,
            help="Share of items missing in answers to several.",
        ),
    ] = 0.0,
    poison: Annotated[
        str,
        typer.Option(
            metavar="TEXT",
            rich_help_panel=_FAULTS,
            help='A body that holds TEXT gets 400, always. "" turns it off.',
        ),
    ] = "POISON",
    key: Annotated[
        str | None,
        typer.Option(rich_help_panel=_ACCOUNT, metavar="KEY", help="The only key that gets in."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            rich_help_panel=_ACCOUNT,
            metavar="NAME",
            help="The only model there is (may be repeated); others get 404.",
        ),
    ] = None,
    quota: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=_ACCOUNT,
            metavar="N",
            help="After N calls: 429 insufficient_quota, which no waiting cures.",
        ),
    ] = None,
    honour_idempotency: Annotated[
        bool,
        typer.Option(
            "--honour-idempotency",
            rich_help_panel=_ACCOUNT,
            help="A call whose Idempotency-Key was answered before gets the same answer again.",
        ),
    ] = False,
    dimensions: Annotated[
        int,
        typer.Option(
            rich_help_panel=_ACCOUNT, metavar="N", help="Length of embeddings, unless asked for."
        ),
    ] = 64,
    seed: Annotated[
        int,
        typer.Option(
            rich_help_panel=_ACCOUNT, metavar="N", help="Another seed, other latencies and faults."
        ),
    ] = 0,
    virtual: Annotated[
        Path | None,
        typer.Option(
            metavar="SCENARIO.yaml",
            rich_help_panel=_VIRTUAL,
            help="Serve nothing: run Penstock's rate control against the provider described here.",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[
        int,
        typer.Option(
            min=1,
            max=100_000,
            metavar="N",
            rich_help_panel=_VIRTUAL,
            help="Run it so many times, from --seed on; the figures are means.",
        ),
    ] = 5,
    algorithm: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            rich_help_panel=_VIRTUAL,
            help="What others do instead: aimd, inspect, vector, botocore, llm-d, gradient2, "
            "vegas, fixed-8.",
        ),
    ] = "penstock",
    json: Json = False,
) -> None:
    """Be a provider that throttles, fails and stalls as told.

    For trying a job out without paying anybody. It speaks OpenAI's API
    (/v1/chat/completions, /v1/responses, /v1/embeddings), Ollama's
    (/api/chat, /api/generate, /api/embed), and on any other path gives back
    the JSON it gets. The same request always gets the same answer; one that
    asks for a JSON schema gets what fits it. GET /stats tells what was
    accepted, refused and served twice; POST /reset starts over;
    POST /limit?factor=0.5 halves the limits from then on.

    A chat model with 500 requests a minute that tells nobody so:

        penstock simulate --rpm 500 --latency 400ms --sigma 0.5

    Requests and tokens limited together, with OpenAI's headers:

        penstock simulate --rpm 3000 --tpm 200000 --depth 60s --hints headers

    Ollama with four slots; a database that more than six calls slow down:

        penstock simulate --slots 4 --latency 300ms

        penstock simulate --contention 6 --latency 200ms

    A bad day:

        penstock simulate --error-share 0.05 --drop-share 0.03 --hang-share 0.01

    Then point a job at it: baseURL http://127.0.0.1:8000/v1

    What rate control makes of ten minutes of a provider, within seconds
    (docs/how-to/virtual-time.md):

        penstock simulate --virtual scenario.yaml --seeds 20
    """
    if virtual is not None:
        _refuse_the_others(context)
        _in_virtual_time(virtual, range(seed, seed + seeds), algorithm, json)
        return
    from penstock.simulate.serve import serve

    config = SimulatorConfig(
        rpm=rpm,
        tpm=tpm,
        limit=limit,
        window=window,
        depth=depth,
        limit_by=limit_by,
        count_rejected=count_rejected,
        hints=hints,
        latency=latency,
        sigma=sigma,
        straggler_share=straggler_share,
        straggler_factor=straggler_factor,
        slots=slots,
        contention=contention,
        error_share=error_share,
        overloaded_share=overloaded_share,
        drop_share=drop_share,
        hang_share=hang_share,
        hang_seconds=hang_seconds,
        garbage_share=garbage_share,
        drop_item_share=drop_item_share,
        poison=poison,
        key=key,
        models=tuple(model or ()),
        quota=quota,
        honour_idempotency=honour_idempotency,
        dimensions=dimensions,
        seed=seed,
    )
    asyncio.run(serve(config, host, port, ready=_announce))


def _announce(address: str) -> None:
    print(
        f"simulator listening on {address} · OpenAI {address}/v1 · Ollama {address} · "
        f"counts {address}/stats · Ctrl-C ends it",
        flush=True,
    )


def _refuse_the_others(context: typer.Context) -> None:
    """A scenario says it all; an option that it would not heed is a mistake."""
    others = [
        Mistake("--" + name.replace("_", "-"), "does not go with --virtual; say it in the scenario")
        for name in context.params
        if name not in _OF_VIRTUAL and _given(context, name)
    ]
    if others:
        raise InputError(others)


def _given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _in_virtual_time(path: Path, seeds: range, algorithm: str, as_json: bool) -> None:
    from penstock.virtual import algorithms, draw, trial

    failures.about(str(path))
    factory = algorithms.find(algorithm)
    population = draw.load(path)
    scores = trial.run_all(population, factory, seeds)
    if as_json:
        print_json(trial.figures(scores))
    else:
        print_lines(trial.lines(population, scores, seeds, algorithm))
