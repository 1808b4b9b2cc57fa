"""The base of the tests' images: a small Debian, installed from its packages.

No registry is asked for anything, so the tests need none. It stands in for the slim image of Python
the Dockerfile names, and has the same parts at other places.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from tests.cluster import packages
from tests.cluster.contents import PACKAGES, STRIPPED, SUITE
from tests.cluster.errors import ClusterError

_MIRROR = "http://deb.debian.org/debian"


def make(target: Path) -> None:
    """Writes the file system as a tar, whole or not at all; half a minute to two, as root."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # Not in /tmp, which may be memory or forbid device files.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".debian-") as scratch:
        root, whole = Path(scratch) / "root", Path(scratch) / "root.tar"
        # What debootstrap mounts is gone with its mount namespace, however it ends.
        install = ["unshare", "--mount", str(packages.required("debootstrap"))]
        options = ["--variant=minbase", f"--include={','.join(PACKAGES)}"]
        options += ["--force-check-gpg", f"--keyring={packages.DEBIAN_KEYS}"]
        _run([*install, *options, SUITE, str(root), _MIRROR])
        # Devices are the runtime's to make; the folders stay, as programs write into some of them.
        left_out = [f"--exclude=./{folder}/*" for folder in ("dev", *STRIPPED)]
        pack = ["tar", "--create", "--numeric-owner", "--sort=name", *left_out]
        _run([*pack, "--file", str(whole), "--directory", str(root), "."])
        whole.replace(target)


def _run(command: list[str]) -> None:
    environment = {**os.environ, "PATH": packages.search_path()}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise ClusterError(f"`{' '.join(command)}` failed:\n{last}")
