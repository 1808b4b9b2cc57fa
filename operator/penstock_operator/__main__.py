"""`python -m penstock_operator`: the operator, told by its environment what to look after."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

from penstock.errors import InputError
from penstock_operator import health, kube, logs, settings
from penstock_operator.operate import Operator

log = logging.getLogger("penstock_operator")


def main() -> int:
    """Run until SIGTERM. Exit code 0 then, 2 when it was told nonsense, 1 when a part failed."""
    logs.configure(os.environ)
    try:
        return asyncio.run(_main())
    except InputError as error:
        for mistake in error.mistakes:
            log.error("%s", mistake)
        return error.exit_code
    except Exception:
        log.exception("the operator ends")
        return 1


async def _main() -> int:
    told = settings.from_environment(os.environ)
    port = _port(os.environ.get("PENSTOCK_HEALTH_PORT", ""))
    client = kube.Kube(await kube.configuration(os.environ))
    try:
        operator = Operator(client, told)
        async with health.serving(port, operator.ready, operator.metrics.text):
            await operator.run()
    finally:
        await client.close()
    return 0


def _port(text: str) -> int:
    if not text:
        return health.PORT
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise InputError.at("PENSTOCK_HEALTH_PORT", f"wanted the number of a port, given {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
