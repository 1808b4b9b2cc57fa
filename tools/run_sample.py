"""`make run`: the product sample, CSV in and Excel out, against a provider that throttles.

Starts `penstock simulate` with a limit that the job is not told, runs the sample as a user would,
and stops the provider again however the run ends. Ends with the exit code of `penstock run`.
A second call finds everything in .penstock/ and makes no request.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = Path("manifests/samples/product-metafields.yaml")
PORT = 8000  # where the sample looks for its provider
PROVIDER = ["--rpm", "3000", "--limit", "token", "--latency", "0.4"]
STARTS_WITHIN = 20.0  # seconds

PENSTOCK = [sys.executable, "-m", "penstock"]


def free_port(wanted: int) -> int:
    """The wanted port of this machine, or any free one when something else uses it."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise SystemExit("no free port on 127.0.0.1")


def stats(port: int) -> dict[str, Any] | None:
    """What the provider has counted so far; None while it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/stats", timeout=2) as answer:
            counted: dict[str, Any] = json.load(answer)
            return counted
    except (urllib.error.URLError, OSError, ValueError):
        return None


@contextmanager
def provider(port: int) -> Iterator[None]:
    """A simulated provider for as long as the block runs.

    It has a session of its own: Ctrl-C is for the run, which still needs answers while it drains.
    """
    process = subprocess.Popen(
        [*PENSTOCK, "simulate", "--port", str(port), *PROVIDER],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + STARTS_WITHIN
        while stats(port) is None:
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("the simulated provider did not start")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def run(port: int, options: list[str]) -> int:
    """Run the sample; signals go to it, and its exit code comes back."""
    command = [*PENSTOCK, "run", str(SAMPLE), *options]
    if port != PORT:
        print(f"Port {PORT} is taken, the provider is on {port}.")
        command += ["--set", f"processor.openai.baseURL=http://127.0.0.1:{port}/v1"]
    process = subprocess.Popen(command, cwd=ROOT)
    # The terminal sends Ctrl-C to the run as well; here it must only not end the wait.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    return process.wait()


def main(options: list[str]) -> int:
    """Options are handed on to `penstock run`."""
    port = free_port(PORT)
    with provider(port):
        code = run(port, options)
        counted = stats(port) or {}
    if "accepted" in counted:
        print(
            f"The provider accepted {counted['accepted']} calls and refused {counted['refused']}."
            " The job was not told its limit, 3,000 a minute."
        )
    return code


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:  # before the run had begun
        sys.exit(130)
