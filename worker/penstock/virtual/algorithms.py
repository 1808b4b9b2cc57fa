"""What can be tried in virtual time, by name: Penstock's rate control and what others do."""

from __future__ import annotations

from functools import partial

from penstock.errors import InputError
from penstock.spec.suggest import did_you_mean
from penstock.virtual.fleet import FleetFactory
from penstock.virtual.peers.base import Fixed, Uncoordinated
from penstock.virtual.peers.botocore import Botocore
from penstock.virtual.peers.latency import Gradient2, Vector, Vegas
from penstock.virtual.peers.loss import BatchGateway, DataDesigner, Inspect
from penstock.virtual.pooled import Pooled

DEFAULT = "penstock"


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

ALGORITHMS: dict[str, FleetFactory] = {DEFAULT: Pooled, **PEERS}
"""Names as `--algorithm` takes them."""
