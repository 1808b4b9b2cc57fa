"""A store that takes the connection and never answers: it is said before long, and Ctrl-C ends it.

The "server" is a socket that listens: the system accepts for it, and nobody reads.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.errors import InputError
from penstock.sources.items import check_source
from penstock.spec.source import Source
from tests.integration.command_support import PATIENCE, started

INPUT = "    objectStore: {url: 's3://data/*.csv', secretRef: {name: silent}}\n"
OUTPUT = "  output: {objectStore: {url: s3://out/a.csv, secretRef: {name: silent}}}\n"


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    for name in os.environ:
        if name.startswith(("AWS_", "PENSTOCK_SECRET_")):
            monkeypatch.delenv(name)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        options = {
            "ENDPOINT_URL": f"http://127.0.0.1:{listener.getsockname()[1]}",
            "ACCESS_KEY_ID": "a-key",
            "SECRET_ACCESS_KEY": "a-secret",
        }
        for name, value in options.items():
            monkeypatch.setenv(f"PENSTOCK_SECRET_SILENT_AWS_{name}", value)
        yield listener


def manifest(folder: Path, source: str, output: str) -> Path:
    path = folder / "job.yaml"
    path.write_text(
        "apiVersion: penstock.dev/v1alpha1\n"
        "kind: BatchJob\n"
        "metadata: {name: silent}\n"
        "spec:\n"
        f"  source:\n{source}"
        '  processor: {http: {url: "http://127.0.0.1:1/", body: {}}}\n'
        f"{output}"
    )
    return path


def test_a_store_that_never_answers_is_told_before_long(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    source = {"objectStore": {"url": "s3://data/*.csv", "secretRef": {"name": "silent"}}}
    before = time.monotonic()
    with pytest.raises(InputError, match=f"127.0.0.1:{port} does not answer"):
        check_source(Source.model_validate(source), Path("/nowhere"))
    assert time.monotonic() - before < 30


@pytest.mark.parametrize(
    ("command", "source", "output"),
    [
        (("validate",), INPUT, ""),
        (("run", "--preview", "1"), INPUT, ""),
        (("run", "--quiet"), "    inline: {items: [{id: 1}]}\n", OUTPUT),
    ],
    ids=["validate", "preview", "run"],
)
def test_ctrl_c_does_not_wait_for_a_store_that_never_answers(
    tmp_path: Path, listener: socket.socket, command: tuple[str, ...], source: str, output: str
) -> None:
    job = manifest(tmp_path, source, output)
    with started(command[0], job, *command[1:], cwd=tmp_path) as running:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1)
            before = time.monotonic()
            running.process.send_signal(signal.SIGINT)
            assert running.ends() == 130, running.output
            assert time.monotonic() - before < 8
    assert "Traceback" not in running.output
