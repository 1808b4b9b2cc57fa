"""A real S3 server for the tests: versitygw, over a folder of this machine.

What is written into the folder is there at once as an object, which is how a test gets 100,000 of
them in seconds. Built from its pinned Go module like the programs of the cluster, and cached.
"""

from __future__ import annotations

import hmac
import http.client
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from tests.cluster.binaries import ensure
from tests.integration.command_support import PATIENCE, eventually

KEY, SECRET = "test-key", "test-secret-9c1f"


@dataclass
class S3:
    """The server. folder: its buckets, as folders; objects are files in them."""

    folder: Path
    port: int
    program: Path
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def options(self, key: str = KEY, secret: str = SECRET) -> dict[str, str]:
        """What clients are told."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
        }

    def variables(self, name: str, key: str = KEY, secret: str = SECRET) -> dict[str, str]:
        """The same as the variables that stand for the Secret `name`."""
        options = self.options(key, secret).items()
        return {f"PENSTOCK_SECRET_{name.upper()}_{option}": value for option, value in options}

    def bucket(self, name: str) -> Path:
        """A bucket, made when it is not there; its folder."""
        path = self.folder / name
        path.mkdir(exist_ok=True)
        return path

    def mark_folder(self, bucket: str, key: str) -> None:
        """The empty object that consoles make of a new folder; its key ends in a slash, which
        clients that tidy keys cannot write."""
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        scope = f"{now[:8]}/us-east-1/s3/aws4_request"
        headers = {
            "host": f"127.0.0.1:{self.port}",
            "x-amz-content-sha256": sha256(b"").hexdigest(),
            "x-amz-date": now,
        }
        names = ";".join(headers)
        lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
        asked = f"PUT\n/{bucket}/{key}\n\n{lines}\n{names}\n{sha256(b'').hexdigest()}"
        to_sign = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{sha256(asked.encode()).hexdigest()}"
        signed = f"AWS4{SECRET}".encode()
        for part in (*scope.split("/"), to_sign):
            signed = hmac.digest(signed, part.encode(), "sha256")
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={KEY}/{scope}, SignedHeaders={names}, "
            f"Signature={signed.hex()}"
        )
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("PUT", f"/{bucket}/{key}", headers=headers)
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
        finally:
            connection.close()

    def start(self) -> None:
        """Serve, and come back when it answers."""
        with (self.folder.parent / "s3.log").open("ab") as log:
            command = [str(self.program), "--port", f"127.0.0.1:{self.port}", "--quiet"]
            # Attributes in a folder of their own: not every file system has some.
            command += ["posix", "--sidecar", str(self.folder.parent / "sidecar")]
            self.process = subprocess.Popen(
                [*command, str(self.folder)],
                env={"ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET},
                stdout=log,
                stderr=log,
            )
        eventually("the S3 server answers", self._answers)

    def stop(self) -> None:
        """End it; its objects stay."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait()
            self.process = None

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder.parent / "s3.log").read_text()
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0


@contextmanager
def s3_server(home: Path) -> Iterator[S3]:
    """A server on a free port for as long as the block runs."""
    program = ensure(["versitygw"])["versitygw"]
    for name in ("buckets", "sidecar"):
        (home / name).mkdir(parents=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = S3(home / "buckets", port, program)
    server.start()
    try:
        yield server
    finally:
        server.stop()
