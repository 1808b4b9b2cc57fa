"""Builds both images of Penstock on the base their Dockerfile names and pushes them to a registry.

What `make images REGISTRY=…` does, for people without docker. The tests never do this: they build
on a base of their own and need no registry.
"""

from __future__ import annotations

import subprocess

from penstock import __version__
from tests.cluster.builds import say, tool
from tests.cluster.contents import IMAGES, ROOT
from tests.cluster.errors import ClusterError

_ROLES = ("worker", "operator")


def publish(registry: str, base_image: str | None) -> list[str]:
    """Names of what was pushed: `<registry>/penstock-worker:<version>` and the operator's."""
    arguments = {"VERSION": __version__, "REVISION": _revision()}
    if base_image:
        arguments["BASE_IMAGE"] = base_image
    pushed = []
    with tool() as buildah:
        for name in _ROLES:
            tag = f"{registry.rstrip('/')}/penstock-{name}:{__version__}"
            say(f"building {tag}")
            target = IMAGES[name].target
            buildah.build(name, ROOT, tag, target=target, arguments=arguments, pull=True)
            say(f"pushing {tag}")
            buildah.run(["push", tag], name)
            pushed.append(tag)
        buildah.tidy()
    return pushed


def _revision() -> str:
    """The commit that is checked out, marked when something in it has been changed since."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=40", "--dirty"]
    done = subprocess.run([*command, "--exclude=*"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterError(f"which commit is this? {done.stderr.strip()}")
    return done.stdout.strip()
