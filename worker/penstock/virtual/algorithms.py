"""What can be tried in virtual time, by name: Penstock's rate control and what others do."""

from __future__ import annotations

from penstock.rate.controller import RateConfig, RateController
from penstock.virtual.fleet import Client, FleetFactory, Setting

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


ALGORITHMS: dict[str, FleetFactory] = {DEFAULT: Alone}
"""Names as `--algorithm` takes them."""
