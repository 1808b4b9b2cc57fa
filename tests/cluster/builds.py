"""Builds the images of the tests and brings them into the cluster.

`contents` says what each consists of and how it is called; this does what is missing. Archives and
steps are kept outside the repository, beside the cluster's programs. Building takes root, as
installing Debian packages below a folder does.
"""

from __future__ import annotations

import fcntl
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from penstock import __version__
from tests.cluster import binaries, contents, debian, images, packages
from tests.cluster.buildah import Buildah
from tests.cluster.config import Paths
from tests.cluster.contents import BASE, BUSYBOX, IMAGES
from tests.cluster.contents import reference as reference
from tests.cluster.errors import ClusterError

NAMES = ("worker", "operator", "postgres", "prometheus", "busybox")
"""What most tests need; `samples` is built by those that ask for it."""
# Archives kept of every image: a branch's, the main line's, and one to go back to.
_KEPT = 3


def ensure(names: Iterable[str]) -> dict[str, Path]:
    """Docker archives of the images, built now where they are missing (said on stderr)."""
    _have_busybox()
    archives = {name: _archive(name, contents.key(name)) for name in names}
    if not all(path.exists() for path in archives.values()):
        with tool() as buildah:
            for name, path in archives.items():
                if not path.exists():
                    archives[name] = _make(name, buildah)
            buildah.tidy()
    for path in archives.values():
        os.utime(path)
    return archives


def load(names: Iterable[str], paths: Paths) -> dict[str, str]:
    """Imports the images the running cluster does not have yet; gives their references."""
    _have_busybox()
    there = images.names(paths)
    references = {name: reference(name) for name in names}
    missing = [name for name, wanted in references.items() if wanted not in there]
    for name, archive in ensure(missing).items():
        began = time.monotonic()
        images.load(archive, paths)
        # Of the archive, as a source may have been edited since.
        references[name] = _reference(name, archive.stem.rpartition("-")[2])
        say(f"imported {name} in {time.monotonic() - began:.1f} s")
    return references


def show(archives: Mapping[str, Path]) -> None:
    """Prints name, size and what of the size is the base, for people."""
    base = folder() / f"{BASE}-{contents.key(BASE)}" / "root.tar"
    below = base.stat().st_size if base.exists() else 0
    for name, path in archives.items():
        size = path.stat().st_size
        shared = f", {_megabytes(below)} of it the base" if name != BUSYBOX else ""
        print(f"{name:10} {_megabytes(size):>6}{shared}  {path}")


@contextmanager
def tool() -> Iterator[Buildah]:
    """Buildah, for one process at a time: a second one waits and then finds everything there."""
    if os.geteuid():
        raise ClusterError("building images takes root: sudo make images")
    packages.ensure(packages.IMAGES)
    folder().mkdir(parents=True, exist_ok=True)
    with (folder() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield Buildah(folder())


def folder() -> Path:
    """Where archives, steps and downloads are kept."""
    return binaries.cache() / "images"


def say(text: str) -> None:
    """Progress, for people."""
    print(f"images: {text}", file=sys.stderr, flush=True)


def _have_busybox() -> None:
    """Its image is named after the program itself."""
    packages.ensure({"busybox": packages.IMAGES["busybox"]})


def _make(name: str, buildah: Buildah) -> Path:
    """One archive, put in place only when it is whole; old ones of the same image go."""
    began = time.monotonic()
    # What a killed process left; nobody else builds now.
    for left in folder().glob("*.part"):
        left.unlink()
    part = folder() / f"{name}.part"
    if name == BUSYBOX:
        made = reference(BUSYBOX)
        part.write_bytes(images.busybox(made))
    else:
        made = _build(name, buildah)
        buildah.run(["push", made, f"docker-archive:{part}:{made}"], name)
    archive = _archive(name, made.rpartition(":")[2])
    part.replace(archive)
    kept = sorted(folder().glob(f"{name}-*.tar"), key=lambda path: path.stat().st_mtime)
    for old in kept[:-_KEPT]:
        old.unlink()
    say(f"built {name} in {time.monotonic() - began:.1f} s")
    return archive


def _build(name: str, buildah: Buildah) -> str:
    """Into buildah's store, after what it is built on; the reference of what came out."""
    if name == BASE:
        return _build_base(buildah)
    image = IMAGES[name]
    bases = {argument: _build(base, buildah) for argument, base in image.bases.items()}
    version = {"VERSION": __version__} if image.target else {}
    with tempfile.TemporaryDirectory(prefix="penstock-image-") as scratch:
        root = Path(scratch)
        contents.copy(name, root)
        made = _reference(name, contents.key(name, root))
        if not buildah.has(made):
            context = root / image.context
            buildah.build(name, context, made, target=image.target, arguments={**bases, **version})
    return made


def _build_base(buildah: Buildah) -> str:
    made = reference(BASE)
    if not buildah.has(made):
        root = folder() / f"base-{contents.key(BASE)}" / "root.tar"
        if not root.exists():
            say(f"installing Debian {contents.SUITE} as the base; the first time takes a minute")
            debian.make(root)
        buildah.build(BASE, root.parent, made, dockerfile=contents.BASE_DOCKERFILE)
    return made


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB"


def _archive(name: str, key: str) -> Path:
    return folder() / f"{name}-{key}.tar"


def _reference(name: str, key: str) -> str:
    return f"{contents.REPOSITORY}/{name}:{key}"
