"""Every error Penstock raises on purpose, in one tree.

    PenstockError
    ├── InputError            bad manifest, data or option: nothing was started (exit 2)
    │   └── ServerAway            a server of the user's is away: the same may work later
    ├── AlreadyRunning        another command is working on this job (exit 2)
    ├── NotFound              no such job, run or result set (exit 2)
    ├── DatabaseError         the database refused or cannot be reached (exit 1)
    │   └── EmbeddedServerError   the embedded PostgreSQL could not be started
    ├── ClusterError          the cluster refused or cannot be reached (exit 1)
    ├── Fenced                a newer owner holds the shard: stop at once
    └── ExportError           results could not be written (exit 1)

The command line turns them into one plain message and the exit code that stands here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self


class PenstockError(Exception):
    """Base of all. `exit_code` is what the command line ends with."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong with what the user gave.

    where: a path in the manifest (`spec.source.file.path`) or a place in the data
        (`products.csv:17`). message: what is wrong and what would be right.
    """

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class InputError(PenstockError):
    """The manifest, the data or an option is wrong; carries every mistake that was found."""

    exit_code = 2

    def __init__(self, mistakes: Sequence[Mistake] | Mistake) -> None:
        self.mistakes = (mistakes,) if isinstance(mistakes, Mistake) else tuple(mistakes)
        super().__init__("\n".join(str(mistake) for mistake in self.mistakes))

    @classmethod
    def at(cls, where: str, message: str) -> Self:
        """The usual case: one mistake."""
        return cls(Mistake(where, message))


class ServerAway(InputError):
    """A server that items come from, or results go to, does not answer or asks to come back later:
    nothing has to be mended for the same to work."""


class AlreadyRunning(PenstockError):
    """Another process is working on this job."""

    exit_code = 2


class NotFound(PenstockError):
    """No job, run or result set of that name."""

    exit_code = 2


class DatabaseError(PenstockError):
    """The database cannot be reached or refused."""


class EmbeddedServerError(DatabaseError):
    """The embedded PostgreSQL could not be started."""


class ClusterError(PenstockError):
    """A Kubernetes cluster cannot be reached or refused."""


class Fenced(PenstockError):
    """A newer owner holds the shard; whatever this worker still knows of it is void."""


class ExportError(PenstockError):
    """Results could not be written to where they were asked for."""
