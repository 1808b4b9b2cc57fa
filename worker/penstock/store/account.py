"""Who PostgreSQL runs as: it refuses to run as root, and in containers one often is."""

from __future__ import annotations

import os
import pwd
import subprocess


class StartError(Exception):
    """The server cannot be made or started; the text is PostgreSQL's or the system's reason."""


class Account:
    """An account PostgreSQL can run as.

    ids: (uid, gid) that its files must belong to, or None when that is who we are. prefix: what
    to put before a command to run it so; it replaces itself, so that the pid stays the same.
    """

    def __init__(self, ids: tuple[int, int] | None, prefix: list[str]) -> None:
        self.ids = ids
        self.prefix = prefix

    def own(self, path: str | os.PathLike[str]) -> None:
        """Give a file of ours to the account."""
        if self.ids is not None:
            os.chown(path, *self.ids)


def account() -> Account:
    """We ourselves; for root the user "nobody". Raises StartError when that cannot be.

    Nobody keeps one right of root: to pass through directories that are closed to him. So no
    permission of any directory above the data has to change. The only one who can connect to that
    server is root.
    """
    if os.geteuid() != 0:
        return Account(None, [])
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise StartError("PostgreSQL refuses to run as root, and there is no user nobody") from None
    prefix = [
        "setpriv",
        f"--reuid={nobody.pw_uid}",
        f"--regid={nobody.pw_gid}",
        "--clear-groups",
        "--inh-caps=+dac_override",
        "--ambient-caps=+dac_override",
    ]
    try:
        tried = subprocess.run([*prefix, "true"], capture_output=True, check=False)
    except FileNotFoundError:
        raise StartError("PostgreSQL refuses to run as root, and there is no setpriv") from None
    if tried.returncode != 0:
        reason = tried.stderr.decode(errors="replace").strip()
        raise StartError(f"PostgreSQL refuses to run as root, and {reason}")
    return Account((nobody.pw_uid, nobody.pw_gid), prefix)
