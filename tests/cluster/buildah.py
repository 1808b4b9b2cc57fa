"""Runs buildah: no daemon, no user namespace, a store of its own, output kept in a log.

It is called with everything decided already; what is built and under which name is `builds`'
business.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import packages, recipe
from tests.cluster.errors import ClusterError

# Builds leave their steps in the store, so that the next one repeats only what changed. Beyond this
# many it is emptied. An overlay keeps differences, without it every step is a whole copy.
_MOST_STEPS = {"overlay": 300, "vfs": 40}
# What of the machine's pip settings holds inside a build as well.
_PIP_SETTINGS = (
    "cert",
    "extra-index-url",
    "index-url",
    "proxy",
    "retries",
    "timeout",
    "trusted-host",
)


@dataclass(frozen=True)
class Buildah:
    """`folder` holds the store and the logs."""

    folder: Path

    def build(
        self,
        name: str,
        context: Path,
        tag: str,
        *,
        dockerfile: Path | None = None,
        target: str | None = None,
        arguments: Mapping[str, str] | None = None,
        pull: bool = False,
    ) -> None:
        """Builds one image.

        What it is built on is taken from the store; with `pull`, from its registry where that has a
        newer one.
        """
        command = ["build", "--layers", "--tag", tag, "--format", "docker"]
        command += ["--pull" if pull else "--pull-never"]
        command += ["--file", str(dockerfile)] if dockerfile else []
        command += ["--target", target] if target else []
        for argument, value in sorted((arguments or {}).items()):
            command += ["--build-arg", f"{argument}={value}"]
        self.run([*command, *self._pip(), str(context)], name)

    def has(self, tag: str) -> bool:
        """Whether the store holds an image."""
        done = subprocess.run(
            [*self._program(), "inspect", "--type", "image", "--format", "{{.FromImageID}}", tag],
            env=_environment(),
            capture_output=True,
            check=False,
        )
        return done.returncode == 0

    def run(self, command: Sequence[str], name: str) -> None:
        """One command of buildah; the last lines of its log are the error."""
        log = self.folder / "logs" / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as output:
            done = subprocess.run(
                [*self._program(), *command],
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if done.returncode:
            last = "\n".join(log.read_text(errors="replace").splitlines()[-30:])
            raise ClusterError(f"buildah {command[0]} of {name} failed ({log}):\n{last}")

    def tidy(self) -> None:
        """Empties the store once it holds more steps than are worth keeping."""
        listed = subprocess.run(
            [*self._program(), "images", "--all", "--quiet"],
            env=_environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        if len(listed.stdout.split()) > _MOST_STEPS[self._driver()]:
            self.run(["rmi", "--all", "--force"], "tidy")

    def _program(self) -> list[str]:
        store = ["--root", str(self.folder / "store"), "--runroot", "/run/penstock-images"]
        return [str(packages.required("buildah")), *store, "--storage-driver", self._driver()]

    def _driver(self) -> str:
        self.folder.mkdir(parents=True, exist_ok=True)
        kind = subprocess.run(
            ["stat", "--file-system", "--format=%T", str(self.folder)],
            capture_output=True,
            text=True,
            check=True,
        )
        supported = Path("/proc/filesystems").read_text()
        stacked = recipe.snapshotter(kind.stdout.strip(), supported) == "overlayfs"
        return "overlay" if stacked else "vfs"

    def _pip(self) -> list[str]:
        """Options that let pip inside a build reach what pip out here reaches."""
        said = subprocess.run(
            [sys.executable, "-m", "pip", "config", "list"],
            capture_output=True,
            text=True,
            check=False,
        )
        settings = pip_settings(said.stdout.splitlines())
        configuration = self.folder / "pip.conf"
        volumes = {configuration: "/etc/pip.conf"}
        if "cert" in settings:
            inside = "/etc/pip-authorities.pem"
            volumes[Path(settings["cert"])] = inside
            settings["cert"] = inside
        lines = [f"{key} = {value}\n" for key, value in settings.items()]
        configuration.touch(mode=0o600)
        configuration.write_text("".join(["[global]\n", *lines]))
        return [f"--volume={source}:{target}:ro" for source, target in volumes.items()]


def pip_settings(lines: Iterable[str]) -> dict[str, str]:
    """Settings worth handing on, from `pip config list`: `global.index-url='https://…'`.

    Those from the environment (`:env:.…`) win, as they do in pip.
    """
    found = {}
    for line in sorted(lines, key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        setting = name.rpartition(".")[2]
        if setting in _PIP_SETTINGS:
            # Values of more than one line (several trusted hosts) have to be indented.
            found[setting] = str(ast.literal_eval(value)).replace("\n", "\n    ")
    return found


def _environment() -> dict[str, str]:
    return {"BUILDAH_ISOLATION": "chroot", **os.environ}
