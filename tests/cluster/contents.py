"""What the images consist of, as data, and the names they get from it.

An image's tag is a digest of everything that goes in, so a name always means the same content: what
is there under it is never built, imported or pulled again.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import images

ROOT = Path(__file__).resolve().parents[2]
REPOSITORY = "penstock.test"

SUITE = "bookworm"
# What the slim images of Python have as well; everything else comes along as essential.
PACKAGES = ("ca-certificates", "netbase", "python3", "tzdata")
# Folders of the base whose content nothing needs at run time.
STRIPPED = (
    "usr/share/doc",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
    "var/cache/apt",
    "var/lib/apt/lists",
    "var/log",
)


@dataclass(frozen=True)
class Image:
    """A target of a Dockerfile.

    `context` is relative to the repository, `inputs` are files and folders in it, `bases` the build
    arguments that name another image.
    """

    context: str
    inputs: tuple[str, ...]
    bases: Mapping[str, str]
    target: str | None = None


_PYTHON = {"BASE_IMAGE": "base", "BUILD_IMAGE": "build"}
# The same for all of ours, so that what they share is built once.
_REPOSITORY = (
    "Dockerfile",
    ".dockerignore",
    "LICENSE",
    "README.md",
    "operator",
    "pyproject.toml",
    "requirements-build.txt",
    "requirements-operator.txt",
    "requirements-samples.txt",
    "requirements-worker.txt",
    "worker",
)
IMAGES: Mapping[str, Image] = {
    "build": Image("tests/images/build", (".",), {"BASE_IMAGE": "base"}),
    "operator": Image(".", _REPOSITORY, _PYTHON, "operator"),
    "postgres": Image("tests/images/postgres", (".",), {"BASE_IMAGE": "base"}),
    "prometheus": Image("tests/images/prometheus", (".",), {"BASE_IMAGE": "base"}),
    "samples": Image(".", _REPOSITORY, _PYTHON, "samples"),
    "worker": Image(".", _REPOSITORY, _PYTHON, "worker"),
}
# These two come from elsewhere than a Dockerfile alone: Debian's packages, a file of the machine.
BASE, BUSYBOX = "base", "busybox"
BASE_DOCKERFILE = ROOT / "tests/images/base/Dockerfile"


def reference(name: str) -> str:
    """Name of an image in the cluster: `penstock.test/worker:0f3a…`."""
    return f"{REPOSITORY}/{name}:{key(name)}"


def key(name: str, root: Path = ROOT) -> str:
    """Digest of what the image is made from, those it is built on included.

    `root` is a copy of the repository, or as much of one as `copy` makes.
    """
    if name == BASE:
        return digest([repr((SUITE, PACKAGES, STRIPPED)).encode(), BASE_DOCKERFILE.read_bytes()])
    if name == BUSYBOX:
        return digest([images.busybox(BUSYBOX)])
    image = IMAGES[name]
    parts = [f"{argument}={key(base)}".encode() for argument, base in sorted(image.bases.items())]
    context = root / image.context
    for path in files(context, image.inputs):
        parts += [path.relative_to(context).as_posix().encode(), path.read_bytes()]
    return digest([(image.target or "").encode(), *parts])


def copy(name: str, root: Path) -> None:
    """Puts what the image is made from below `root`, so that nobody edits it meanwhile."""
    context = ROOT / IMAGES[name].context
    for path in files(context, IMAGES[name].inputs):
        target = root / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)


def files(context: Path, inputs: Iterable[str]) -> list[Path]:
    """The files below the inputs in a fixed order, without what Python leaves beside its own."""
    found: set[Path] = set()
    for name in inputs:
        path = context / name
        found.update(path.rglob("*") if path.is_dir() else [path])
    return sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts)


def digest(parts: Iterable[bytes]) -> str:
    """Twelve hexadecimal digits; the parts' boundaries count too."""
    made = hashlib.blake2b(digest_size=6)
    for part in parts:
        made.update(len(part).to_bytes(8, "big") + part)
    return made.hexdigest()
