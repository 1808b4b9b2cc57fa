"""Where results go, settled before anything is paid for."""

from __future__ import annotations

from pathlib import Path

from penstock.errors import InputError
from penstock.export.target import OUTPUT_FIELD, check_place
from penstock.export.write import format_of
from penstock.sources.files import data_files
from penstock.spec.job import BatchJob, OutputFormat

Destination = tuple[Path, OutputFormat]
"""The file that results are written to, and its format."""


def destination(job: BatchJob, directory: Path, option: Path | None = None) -> Destination | None:
    """`--output`, relative to here, else `spec.output`, relative to `directory`; None for neither.

    Raises InputError when the file cannot be written, or is one the items come from.
    """
    output = job.spec.output
    if option is not None:
        path, format, named_by = option.resolve(), None, "--output"
    elif output is not None and output.file is not None:
        path, format = directory / output.file.path, output.format
        named_by = OUTPUT_FIELD
    else:
        return None
    check_place(path, named_by)
    if path.exists() and any(path.samefile(source) for source in _sources(job, directory)):
        raise InputError.at(named_by, f"{path} is the input; the results would replace it")
    return path, format_of(path, format)


def _sources(job: BatchJob, directory: Path) -> list[Path]:
    """The files that items are read from, as far as they are (still) there."""
    if job.spec.source.file is None:
        return []
    try:
        return [file.path for file in data_files(job.spec.source, directory)]
    except InputError:
        return []  # planning says what is wrong; a run that goes on does not need them
