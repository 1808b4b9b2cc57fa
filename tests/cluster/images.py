"""Brings images into the cluster's containerd, and makes those that need no build tool.

An image of a few files is a tar of a tar and two JSON documents; `archive` writes that. Anything
larger is built elsewhere and comes in through `load`.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.cluster import packages
from tests.cluster.config import PAUSE_IMAGE, Paths
from tests.cluster.errors import ClusterError


def load(archive_file: Path, paths: Paths) -> None:
    """Imports a docker or OCI archive (what `buildah push … docker-archive:FILE` writes)."""
    _ctr(["import", str(archive_file)], paths)


def names(paths: Paths) -> set[str]:
    """References of the images the cluster has."""
    return set(_ctr(["list", "--quiet"], paths).split())


def load_pause(binary: Path, paths: Paths) -> None:
    """The image of every pod's sandbox."""
    target = paths.state / "pause.tar"
    target.write_bytes(archive(PAUSE_IMAGE, {"pause": binary.read_bytes()}, ["/pause"]))
    load(target, paths)


def busybox(name: str) -> bytes:
    """The archive of a small image with a shell, from Debian's busybox-static, under that name."""
    program = packages.required("busybox")
    listed = subprocess.run([program, "--list"], capture_output=True, text=True, check=True)
    links = {f"bin/{applet}": "/bin/busybox" for applet in listed.stdout.split()}
    links.pop("bin/busybox", None)
    return archive(name, {"bin/busybox": program.read_bytes()}, ["/bin/sh"], links=links)


def archive(
    name: str,
    files: Mapping[str, bytes],
    entrypoint: Sequence[str],
    *,
    links: Mapping[str, str] | None = None,
) -> bytes:
    """A docker archive with one layer: `files` by path, executable, symbolic `links`, and /tmp.

    The same input gives the same bytes. It runs as a numeric user that is not root.
    """
    layer = _tar({path: (data, 0o755) for path, data in files.items()}, links, ["tmp"])
    configuration = json.dumps(
        {
            "architecture": _architecture(),
            "os": "linux",
            "config": {
                "Entrypoint": list(entrypoint),
                "User": "65534:65534",
                "Env": ["PATH=/bin"],
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_digest(layer)}"]},
            "history": [{"created_by": "tests/cluster"}],
        },
        sort_keys=True,
    ).encode()
    named = f"{_digest(configuration)}.json"
    manifest = [{"Config": named, "RepoTags": [name], "Layers": ["layer.tar"]}]
    outer = {
        "layer.tar": (layer, 0o644),
        named: (configuration, 0o644),
        "manifest.json": (json.dumps(manifest).encode(), 0o644),
    }
    return _tar(outer)


def _tar(
    files: Mapping[str, tuple[bytes, int]],
    links: Mapping[str, str] | None = None,
    directories: Sequence[str] = (),
) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in directories:
            entry = tarfile.TarInfo(path)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777
            tar.addfile(entry)
        for path, (data, mode) in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(data), mode
            tar.addfile(entry, io.BytesIO(data))
        for path, leads_to in sorted((links or {}).items()):
            entry = tarfile.TarInfo(path)
            entry.type, entry.linkname = tarfile.SYMTYPE, leads_to
            tar.addfile(entry)
    return target.getvalue()


def _ctr(command: Sequence[str], paths: Paths) -> str:
    if not paths.containerd_socket.exists():
        raise ClusterError("no cluster runs here: `make cluster` starts one")
    ctr = ["ctr", "--address", str(paths.containerd_socket), "--namespace", "k8s.io", "images"]
    done = subprocess.run([*ctr, *command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterError(f"`ctr images {' '.join(command)}` failed: {done.stderr.strip()}")
    return done.stdout


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _architecture() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
