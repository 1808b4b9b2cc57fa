"""All that a decision about one BatchJob is made from, at one moment: plain values, no clients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from penstock.errors import Mistake
from penstock.spec.job import BatchJob
from penstock.store.progress import Progress
from penstock.store.runs import ENDED_PHASES

Role = Literal["plan", "work", "export"]


@dataclass(frozen=True, slots=True)
class Problem:
    """What keeps a pod from working, for a condition and an Event.

    reason: one CamelCase word (ImagePullFailed, Unschedulable, SecretMissing, …). message: what is
    wrong and what to do about it.
    """

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class PodSeen:
    """A pod of one of the job's Jobs. run: number of the run. problem: why it cannot start, or why
    it ended badly; None when all is well. held: seconds that it has been there although it was
    deleted and has ended: its Job keeps it until another takes its place."""

    name: str
    role: Role
    run: int
    phase: str
    ready: bool
    problem: Problem | None
    held: float = 0.0


@dataclass(frozen=True, slots=True)
class JobSeen:
    """A Job of the BatchJob. run: number of the run. active: pods of it that have not ended. ended:
    its terminal condition, empty while it goes on; reason and message belong to that condition.
    created: seconds since the epoch. template: the code of the pod template that it was made by;
    empty when that is not known. completions: the most pods it can have at a time; 0: not known."""

    name: str
    role: Role
    run: int
    suspended: bool
    parallelism: int
    active: int
    ended: Literal["", "Complete", "Failed"]
    reason: str = ""
    message: str = ""
    deleting: bool = False
    created: float = 0.0
    template: str = ""
    completions: int = 0


@dataclass(frozen=True, slots=True)
class RunSeen:
    """The newest run of that name in the database.

    mine: of this BatchJob, not of an earlier one with the same name. foreign: of a BatchJob of
    another cluster that uses the same database. manifest: what it works by, with all edits taken
    up. shards: how many are not done. seconds: time from planning to the end of writing, without
    what it was suspended, paused or queued; working: they grow now. started, finished: seconds
    since the epoch, None when it has not come to that.
    """

    id: int
    number: int
    mine: bool
    foreign: bool
    phase: str
    reason: str
    message: str
    manifest: BatchJob
    existing: str
    shards: int
    seconds: float
    working: bool
    output: str
    progress: Progress
    started: float
    finished: float | None

    @property
    def ended(self) -> bool:
        """Nothing more will happen in this run."""
        return self.phase in ENDED_PHASES

    @property
    def rerun(self) -> int:
        """`spec.rerun` that it was opened for."""
        return self.manifest.spec.rerun


@dataclass(frozen=True, slots=True)
class UnreadRun:
    """The newest run of that name, whose manifest this version cannot read: another one has stored
    it. why: that, and what to do. The rest as in `RunSeen`."""

    id: int
    number: int
    mine: bool
    foreign: bool
    phase: str
    rerun: int
    redrive: int
    finished: float | None
    why: str

    @property
    def ended(self) -> bool:
        """Nothing more will happen in this run."""
        return self.phase in ENDED_PHASES


@dataclass(frozen=True, slots=True)
class Observed:
    """One BatchJob with all that belongs to it.

    job: the manifest, None when it has mistakes. database: why the database cannot be asked, empty
    when it could; then run is what it knows, or unread, where that cannot be read (neither: no run
    yet). jobs, pods: of all its runs. refused: what the database said no to at the last try (a
    result set in use), else empty. status: as the API server has it. now: seconds since the epoch.
    stuck: what Kubernetes has just said no to.
    """

    name: str
    namespace: str
    uid: str
    generation: int
    deleting: bool
    managed_elsewhere: bool
    job: BatchJob | None
    mistakes: tuple[Mistake, ...]
    run: RunSeen | None
    database: str
    refused: str
    jobs: tuple[JobSeen, ...]
    pods: tuple[PodSeen, ...]
    status: Mapping[str, Any]
    now: float
    stuck: Problem | None = None
    unread: UnreadRun | None = None

    @property
    def key(self) -> str:
        """How the database names the job: several namespaces share it."""
        return f"{self.namespace}/{self.name}"

    @property
    def last_run(self) -> int:
        """Number of the last run that the status tells of; 0: none."""
        return int(self.status.get("currentRun") or 0)

    @property
    def lost(self) -> bool:
        """Whether the database knows nothing of a BatchJob that had a run: it was emptied or
        replaced. Nothing is run again, and paid for again, before somebody edits the BatchJob."""
        edited = self.generation > int(self.status.get("observedGeneration") or 0)
        found = self.run or self.unread
        return found is None and not self.database and self.last_run > 0 and not edited
