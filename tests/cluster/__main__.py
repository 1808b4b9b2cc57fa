"""The commands: `python -m tests.cluster up | down | status | kubeconfig | helm-path | images …`.

And `kubectl …`, which runs it, and `object-store`, which builds the S3 server of the tests. The
Makefile has a target for each. What is printed on stdout is only what was asked for (a path, a
status, kubectl's output); progress and errors go to stderr.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from tests.cluster import binaries, builds, lifecycle, publish
from tests.cluster.config import Paths
from tests.cluster.errors import ClusterError

_COMMANDS = ("up", "down", "status", "kubeconfig", "helm-path", "kubectl", "images", "object-store")


def main(arguments: Sequence[str]) -> int:
    """Runs one command; 0 when it did what it was asked, 1 when not, 2 for an unknown one."""
    if not arguments or arguments[0] not in _COMMANDS:
        print(f"usage: python -m tests.cluster {' | '.join(_COMMANDS)}", file=sys.stderr)
        return 2
    # Ended by a job runner or by Ctrl-C: either way, half a cluster is taken down again.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _run(arguments[0], arguments[1:])
    except ClusterError as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("cluster: interrupted; `make cluster` starts over", file=sys.stderr)
        return 130


def _run(command: str, arguments: Sequence[str]) -> int:
    paths = Paths()
    match command:
        case "up":
            lifecycle.up(paths)
        case "down":
            lifecycle.down(paths)
        case "status":
            return 0 if lifecycle.status(paths) else 1
        case "kubeconfig":
            print(lifecycle.kubeconfig(paths))
        case "helm-path":
            print(binaries.ensure(["helm"])["helm"])
        case "kubectl":
            configuration = lifecycle.kubeconfig(paths)
            kubectl = str(binaries.ensure(["kubectl"])["kubectl"])
            os.environ["NO_PROXY"] = "*"
            os.execv(kubectl, [kubectl, "--kubeconfig", str(configuration), *arguments])
        case "object-store":
            print(binaries.ensure(["versitygw"])["versitygw"])
        case "images":
            _images(arguments, paths)
    return 0


def _images(arguments: Sequence[str], paths: Paths) -> None:
    """`images` builds those of the tests, `images REGISTRY [BASE_IMAGE]` pushes to a registry."""
    if arguments:
        base_image = arguments[1] if len(arguments) > 1 else None
        print("\n".join(publish.publish(arguments[0], base_image)))
        return
    archives = builds.ensure(builds.NAMES)
    if paths.containerd_socket.exists():
        builds.load(builds.NAMES, paths)
    builds.show(archives)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
