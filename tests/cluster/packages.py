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
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.cluster.elf import is_static
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
    "gpgv": "gpgv",
    "unshare": "util-linux",
}
_PLUGINS = ("bridge", "host-local", "loopback", "portmap")
_PLUGIN_DIRECTORIES = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
_PLUGIN_PACKAGE = "containernetworking-plugins"
# Go downloads modules only from those whom somebody in here vouches for.
_AUTHORITIES = Path("/etc/ssl/certs")
# Goes into an image without any libraries. Debian's other package of it, which this one replaces,
# needs some.
_STATIC = {"busybox"}
_SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")
# A machine that has just started often brings its package lists up to date by itself.
_LOCK_SECONDS = 300
_LOCKED = "Could not get lock"
_LINES = 20
# What debootstrap checks Debian's signatures with.
DEBIAN_KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def ensure(programs: Mapping[str, str]) -> None:
    """Installs the packages of those programs that are missing."""
    packages = missing(programs, which)
    if programs is RUNNING and plugin_directory() is None:
        packages.append(_PLUGIN_PACKAGE)
    if programs is RUNNING and not any(_AUTHORITIES.glob("*")):
        packages.append("ca-certificates")
    if programs is IMAGES and not DEBIAN_KEYS.exists():
        packages.append("debian-archive-keyring")
    if not packages:
        return
    names = " ".join(packages)
    if shutil.which("apt-get") is None:
        raise ClusterError(f"these are missing and only apt-get could install them: {names}")
    print(f"cluster: installing {names}", file=sys.stderr, flush=True)
    updated = _apt(["update"])
    installed = _apt(["install", "--yes", "--no-install-recommends", *packages])
    if installed.returncode:
        reason = f"`apt-get install {names}` failed:\n{_said(installed)}"
        # What an update says is told only here: the lists that are there already may be enough, and
        # where no mirror answers apt-get calls it a success.
        raise ClusterError(f"{reason}\n`apt-get update`, before that, said:\n{_said(updated)}")


def missing(programs: Mapping[str, str], find: Callable[[str], str | None]) -> list[str]:
    """The packages, each once, of the programs that `find` does not find."""
    return sorted({package for program, package in programs.items() if find(program) is None})


def which(program: str) -> str | None:
    """Path of a program that is fit for its purpose, None where there is none."""
    for folder in search_path().split(os.pathsep):
        found = shutil.which(program, path=folder)
        if found and (program not in _STATIC or is_static(Path(found))):
            return found
    return None


def search_path() -> str:
    """PATH with the sbin directories, which that of a shell under su or cron often lacks."""
    return os.pathsep.join([os.environ.get("PATH") or os.defpath, *_SBIN])


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


def _apt(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """apt-get, whatever becomes of it, once nobody else is at the packages."""
    command = ["apt-get", "--quiet", "--option", f"DPkg::Lock::Timeout={_LOCK_SECONDS}"]
    settings = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C", "PATH": search_path()}
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        done = subprocess.run(
            [*command, *arguments],
            env={**os.environ, **settings},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        # By its option apt-get waits for dpkg's lock, but never for that of the lists.
        locked = done.returncode and _LOCKED in done.stderr
        if not locked or time.monotonic() > deadline:
            return done
        time.sleep(1)


def _said(done: subprocess.CompletedProcess[str]) -> str:
    return "\n".join((done.stdout + done.stderr).splitlines()[-_LINES:])
