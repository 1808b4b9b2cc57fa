"""Results that come to this machine: where they are put, and a look at that before the start."""

from __future__ import annotations

from pathlib import Path

from penstock.cluster.manifest import writes_there
from penstock.cluster.mounts import is_mounted
from penstock.export.destination import local_destination
from penstock.export.per_item import planned
from penstock.export.to_file import ToFile
from penstock.export.to_folder import ToFolder
from penstock.sources.items import read_items
from penstock.spec.job import BatchJob

Here = ToFile | ToFolder


def put_here(job: BatchJob, base: Path, option: Path | None) -> Here | None:
    """Where the results of a job come to on this machine: `--output`, else a `spec.output` that no
    pod writes. base: the manifest's folder."""
    if option is None and writes_there(job):
        return None
    return local_destination(job, base, option)


async def check(here: Here, job: BatchJob, base: Path, *, mounted: bool) -> None:
    """Whether results can be put there, as far as that can be told from here: no pod looks at it.

    mounted: the path of the source is one in the pods. Raises InputError, also for items that are
    read here and are none.
    """
    await here.check()
    if isinstance(here, ToFolder) and _read_here(job, mounted=mounted):
        items = read_items(job.spec.source, base)
        for _ in planned(items, here.template, here.problem):
            pass


def _read_here(job: BatchJob, *, mounted: bool) -> bool:
    source = job.spec.source
    if source.file is None:
        return source.inline is not None
    return not (mounted or is_mounted(source.file.path, job.spec.template))
