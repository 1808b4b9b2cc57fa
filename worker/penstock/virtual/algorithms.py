"""What can be tried in virtual time, by name: Penstock's rate control and what others do."""

from __future__ import annotations

from functools import partial

from penstock.errors import InputError
from penstock.rate.controller import RateConfig, RateController
from penstock.spec.suggest import did_you_mean
from penstock.virtual.fleet import Client, FleetFactory, Setting
from penstock.virtual.peers.base import Fixed, Uncoordinated
from penstock.virtual.peers.botocore import Botocore
from penstock.virtual.peers.latency import Gradient2, Vector, Vegas
from penstock.virtual.peers.loss import BatchGateway, DataDesigner, Inspect

DEFAULT = "penstock"


class Alone:
    """Pods with today's controller, each with an even share of what is stated."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._clients: dict[int, RateController] = {}

    def join(self, pod: int, now: float) -> Client:  # noqa: ARG002
        setting = self._setting
        config = RateConfig(
            setting.min_concurrency,
            setting.max_concurrency,
            setting.requests_per_second,
            setting.tokens_per_second,
        )
        client = self._clients[pod] = RateController(config)
        client.set_share(1 / setting.pods)
        return client

    def sync(self, pod: int, client: Client, now: float) -> float:  # noqa: ARG002
        return 1.0

    def urgent(self, client: Client) -> bool:  # noqa: ARG002
        return False

    def leave(self, pod: int, now: float) -> None:  # noqa: ARG002
        self._clients.pop(pod, None)

    def learned(self) -> float | None:
        rates = [client.requests_per_second for client in self._clients.values()]
        known = [rate for rate in rates if rate is not None]
        return 60 * sum(known) / len(known) if known else None


def find(name: str) -> FleetFactory:
    """The algorithm of that name; `fixed-8` is eight calls in flight in each pod.

    Raises InputError for a name that there is not.
    """
    if name in ALGORITHMS:
        return ALGORITHMS[name]
    kind, _, calls = name.partition("-")
    if kind == "fixed" and calls.isdigit() and int(calls) > 0:
        return partial(Uncoordinated, lambda _: Fixed(int(calls)))
    hint = did_you_mean(name, [*ALGORITHMS])
    known = ", ".join(ALGORITHMS)
    raise InputError.at("--algorithm", f"there is no {name!r}{hint or ';'} known: {known}, fixed-N")


PEERS: dict[str, FleetFactory] = {
    "aimd": partial(Uncoordinated, lambda _: DataDesigner()),
    "inspect": partial(Uncoordinated, lambda _: Inspect()),
    "vector": partial(Uncoordinated, lambda _: Vector()),
    "botocore": partial(Uncoordinated, lambda _: Botocore()),
    "llm-d": partial(Uncoordinated, lambda _: BatchGateway()),
    "gradient2": partial(Uncoordinated, lambda _: Gradient2()),
    "vegas": partial(Uncoordinated, lambda setting: Vegas(setting.seed)),
}
"""What others do."""

ALGORITHMS: dict[str, FleetFactory] = {DEFAULT: Alone, **PEERS}
"""Names as `--algorithm` takes them."""
