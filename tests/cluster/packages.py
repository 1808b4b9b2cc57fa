"""The programs the cluster takes from the distribution, and how they get there.

Only `up` installs anything, as root, on Debian and its relatives. A program that is there already
is used whatever package it came from: installing Debian's containerd beside Docker's would remove
that one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.cluster.errors import ClusterError

# Program: the Debian package that has it.
RUNNING: Mapping[str, str] = {
    "containerd": "containerd",
    "containerd-shim-runc-v2": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "ip": "iproute2",
    "mount": "mount",
    "nsenter": "util-linux",
    "openssl": "openssl",
    "sysctl": "procps",
}
# What building the project's images and the tests' pods takes.
IMAGES: Mapping[str, str] = {
    "buildah": "buildah",
    "busybox": "busybox-static",
    "debootstrap": "debootstrap",
    "unshare": "util-linux",
}
_PLUGINS = ("bridge", "host-local", "loopback", "portmap")
_PLUGIN_DIRECTORIES = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
_PLUGIN_PACKAGE = "containernetworking-plugins"
# What debootstrap checks Debian's signatures with.
DEBIAN_KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def ensure(programs: Mapping[str, str]) -> None:
    """Installs the packages of those programs that are missing."""
    packages = missing(programs, which)
    if programs is RUNNING and plugin_directory() is None:
        packages.append(_PLUGIN_PACKAGE)
    if programs is IMAGES and not DEBIAN_KEYS.exists():
        packages.append("debian-archive-keyring")
    if not packages:
        return
    names = " ".join(packages)
    if shutil.which("apt-get") is None:
        raise ClusterError(f"these are missing and only apt-get could install them: {names}")
    print(f"cluster: installing {names}", file=sys.stderr, flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *packages]
    for command in (["apt-get", "update", "--quiet"], install):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            last = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
            raise ClusterError(f"`{' '.join(command)}` failed:\n{last}")


def missing(programs: Mapping[str, str], find: Callable[[str], str | None]) -> list[str]:
    """The packages, each once, of the programs that `find` does not find."""
    return sorted({package for program, package in programs.items() if find(program) is None})


def which(program: str) -> str | None:
    """Path of a program; the PATH of a shell under su or cron often lacks the sbin directories."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def required(program: str) -> Path:
    """Path of a program that `ensure` has seen to."""
    found = which(program)
    if found is None:
        raise ClusterError(f"{program} is missing although its package is installed")
    return Path(found)


def plugin_directory() -> Path | None:
    """Where the CNI plugins are, None when they are not installed."""
    for directory in _PLUGIN_DIRECTORIES:
        if all((directory / plugin).exists() for plugin in _PLUGINS):
            return directory
    return None
