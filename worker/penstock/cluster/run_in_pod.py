"""A command in a pod, its output as a stream: what `kubectl exec` does.

Output of a container lands in its log, which is cut at some megabytes and may be read by others;
that of a command run so goes to whoever asked for it and nowhere else.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

import aiohttp

from penstock import jsons
from penstock.cluster.api import Api
from penstock.cluster.kinds import PODS
from penstock.errors import ClusterError

PROTOCOL = "v4.channel.k8s.io"
"""Each message begins with a byte that says what it is."""
_OUT, _ERR, _END = 1, 2, 3
_KEPT = 2_000
"""Characters of what the command complained about."""


async def run_in_pod(
    api: Api, namespace: str, pod: str, container: str, command: Sequence[str]
) -> AsyncGenerator[bytes]:
    """What the command writes, piece by piece. Raises ClusterError when it fails, or when the
    connection ends before it does."""
    path = f"{PODS.group}/namespaces/{namespace}/{PODS.plural}/{pod}/exec"
    query = [("container", container), ("stdout", "true"), ("stderr", "true")]
    query += [("command", word) for word in command]
    complaint, end = "", None
    try:
        async with api.socket(path, query, PROTOCOL) as socket:
            async for message in socket:
                if message.type != aiohttp.WSMsgType.BINARY or not message.data:
                    continue
                channel, data = message.data[0], message.data[1:]
                if channel == _OUT and data:
                    yield data
                elif channel == _ERR:
                    complaint = (complaint + data.decode(errors="replace"))[-_KEPT:]
                elif channel == _END:
                    end = jsons.loads(data)
    except aiohttp.WSServerHandshakeError as error:
        if error.status == 403:
            raise ClusterError(
                "no permission to run a command in a pod: pods/exec, get and create"
            ) from error
        raise ClusterError(f"no command could be run in the pod {pod}: {error.status}") from error
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        raise api.unreachable(error) from error
    if end is None:
        raise ClusterError("the connection to the pod ended too soon; try again")
    if end.get("status") != "Success":
        said = complaint.strip() or str(end.get("message"))
        raise ClusterError(said.removeprefix("Error: "))
