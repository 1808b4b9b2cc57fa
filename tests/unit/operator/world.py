"""A small world to decide about: one BatchJob, its run in a database, its Jobs on a cluster.

It changes as the real ones do (Jobs come late, pods end, workers finish items, things get lost)
and knows nothing of how decisions are made.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from penstock.spec.job import BatchJob
from penstock.store.progress import Progress
from penstock.store.runs import WORKING_PHASES
from penstock_operator import actions as do
from penstock_operator.observed import JobSeen, Observed, PodSeen, Problem, Role, RunSeen

SHARDS = 3


def job(**spec: Any) -> BatchJob:
    """A valid manifest; `spec` replaces top-level fields of its spec."""
    content = {
        "source": {"inline": {"items": [1, 2, 3]}},
        "processor": {"http": {"url": "http://provider.test/"}},
    }
    return BatchJob.model_validate(
        {
            "apiVersion": "penstock.dev/v1alpha1",
            "kind": "BatchJob",
            "metadata": {"name": "products"},
            "spec": {**content, **spec},
        }
    )


def run(phase: str = "Running", manifest: BatchJob | None = None, **changes: Any) -> RunSeen:
    """A run as the database may know it."""
    values: dict[str, Any] = {
        "id": 11, "number": 1, "mine": True, "foreign": False, "phase": phase,
        "reason": "", "message": "",
        "manifest": manifest or job(), "existing": "skip", "shards": SHARDS, "seconds": 1.0,
        "working": phase in WORKING_PHASES,
        "output": "", "started": 100.0, "finished": None,
        "progress": Progress("team/products", 1, phase, 3),
    }  # fmt: skip
    return RunSeen(**{**values, **changes})


def seen(**changes: Any) -> Observed:
    """A BatchJob as it may be seen: newly made, unless `changes` say otherwise."""
    values: dict[str, Any] = {
        "name": "products", "namespace": "team", "uid": "u1", "generation": 1, "deleting": False,
        "managed_elsewhere": False, "job": job(), "mistakes": (), "run": None, "database": "",
        "refused": "", "jobs": (), "pods": (), "status": {}, "now": 1000.0,
    }  # fmt: skip
    return Observed(**{**values, **changes})


def a_job(role: Role, number: int = 1, **changes: Any) -> JobSeen:
    """A Job that runs."""
    values: dict[str, Any] = {
        "name": f"products-{number}-{role}", "role": role, "run": number, "suspended": False,
        "parallelism": SHARDS, "active": 1, "ended": "",
    }  # fmt: skip
    return JobSeen(**{**values, **changes})


def a_pod(role: Role, problem: Problem | None, number: int = 1, *, ready: bool = False) -> PodSeen:
    """A pod of a Job."""
    return PodSeen(f"products-{number}-{role}-x", role, number, "Pending", ready, problem)


@dataclass
class World:
    """The cluster and the database; `apply` carries actions out, the rest is what happens."""

    manifest: BatchJob
    now: float = 1000.0
    runs: list[RunSeen] = field(default_factory=list)
    jobs: dict[str, JobSeen] = field(default_factory=dict)
    written: set[int] = field(default_factory=set)
    gone: bool = False
    begun: dict[int, int] = field(default_factory=dict)
    """How often items of a run were finished, by run number: each shard once."""

    def look(self) -> Observed:
        """What an operator that has just been started would see."""
        return seen(
            job=self.manifest,
            run=self.runs[-1] if self.runs else None,
            jobs=tuple(self.jobs.values()),
            now=self.now,
        )

    def apply(self, action: do.Action) -> None:
        """As the API server and the database do it: what is done already stays as it is."""
        match action:
            case do.OpenRun(number=number, manifest=manifest, existing=existing):
                if len(self.runs) + 1 == number and (not self.runs or self.runs[-1].ended):
                    opened = run("Planning", manifest, id=10 + number, number=number)
                    self.runs.append(replace(opened, existing=existing, started=self.now))
            case do.EditRun(run=number, manifest=manifest, resume=resume):
                changes: dict[str, Any] = {"manifest": manifest}
                if resume and self._run(number).phase == "Paused":
                    changes["phase"] = "Running"
                self._change(number, **changes)
            case do.SetRunPhase(run=number, phase=phase, since=since, reason=reason):
                if self._run(number).phase in since:
                    finished = self.now if phase in ("Complete", "Failed") else None
                    self._change(number, phase=phase, reason=reason, finished=finished)
            case do.BeginExport(run=number):
                if not self._run(number).ended:
                    self._change(number, phase="Exporting")
            case do.CloseRun(run=number):
                self._close(number)
            case do.CreateJob(role=role, run=number, parallelism=parallelism, suspend=suspend):
                new = a_job(role, number, parallelism=parallelism, suspended=suspend)
                self.jobs.setdefault(new.name, new)
            case do.PatchJob(name=name, parallelism=parallelism, suspend=suspend):
                if name in self.jobs:
                    if parallelism is not None:
                        self.jobs[name] = replace(self.jobs[name], parallelism=parallelism)
                    if suspend is not None:
                        self.jobs[name] = replace(self.jobs[name], suspended=suspend)
            case do.DeleteJob(name=name):
                self.jobs.pop(name, None)
            case do.DeleteBatchJob():
                self.gone = True

    def work(self) -> None:
        """The pods do a piece of what they are there for."""
        for name, one in list(self.jobs.items()):
            if one.ended or one.suspended:
                continue
            of = next(entry for entry in self.runs if entry.number == one.run)
            if one.role == "plan":
                if of.phase == "Planning":
                    self._change(of.id, phase="Running")
                self.jobs[name] = replace(one, ended="Complete")
            elif one.role == "work":
                if of.phase == "Running" and of.shards:
                    self.begun[of.number] = self.begun.get(of.number, 0) + 1
                    self._change(of.id, shards=of.shards - 1)
                if self._run(of.id).phase != "Running" or not self._run(of.id).shards:
                    self.jobs[name] = replace(one, ended="Complete")
            else:
                self.written.add(of.number)
                self._change(of.id, output="out.jsonl")
                if of.phase == "Exporting":
                    self._close(of.id)
                self.jobs[name] = replace(one, ended="Complete")

    def lose(self, role: str) -> None:
        """Somebody deletes the Jobs of a role."""
        for name in [name for name, one in self.jobs.items() if one.role == role]:
            del self.jobs[name]

    def fail(self, role: str) -> None:
        """The Jobs of a role use up their back-off."""
        for name, one in self.jobs.items():
            if one.role == role and not one.ended:
                self.jobs[name] = replace(one, ended="Failed", reason="BackoffLimitExceeded")

    def pause(self) -> None:
        """A worker pauses the run."""
        if self.runs and self.runs[-1].phase == "Running":
            self._change(self.runs[-1].id, phase="Paused", reason="Unauthorized")

    def edit(self, **spec: Any) -> None:
        """Somebody applies the manifest again, with other fields."""
        data = self.manifest.model_dump(by_alias=True, exclude_none=True, mode="json")
        self.manifest = BatchJob.model_validate({**data, "spec": {**data["spec"], **spec}})

    def _run(self, number: int) -> RunSeen:
        return next(entry for entry in self.runs if entry.id == number)

    def _change(self, number: int, **changes: Any) -> None:
        place = next(index for index, entry in enumerate(self.runs) if entry.id == number)
        self.runs[place] = replace(self.runs[place], **changes)

    def _close(self, number: int) -> None:
        if self._run(number).phase == "Exporting":
            self._change(number, phase="Complete", reason="Completed", finished=self.now)
