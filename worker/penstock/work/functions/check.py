"""Whether a job's function can be called: imported and looked at in a process of its own.

So that a mistake is told before anything starts, and whatever the user's modules do when they are
imported happens to nobody else. The initializer is looked at, and not called.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from penstock import jsons, signals
from penstock.errors import InputError, Mistake
from penstock.secrets import mask, masker
from penstock.spec.job import BatchJob
from penstock.spec.processor import PythonProcessor
from penstock.work.functions.load import WHERE, fit, initializer, load, open_path

PATIENCE = 120.0
"""Seconds that an import may take."""
_MOST_SAID = 300


async def check_function(job: BatchJob, folder: Path) -> None:
    """Raise InputError when the job's function cannot be called; other jobs are left alone.

    folder: where the manifest, and with it the user's modules are.
    """
    python = job.spec.processor.python
    if python is None:
        return
    if hiding := _hiding(folder):
        what = ", ".join(hiding)
        message = f"{what} beside the manifest hides Python's own module of that name: rename it"
        raise InputError.at(f"{WHERE}.entrypoint", message)
    with signals.held_back():
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-P", "-m", "penstock.work.functions.check"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
        )
    try:
        async with asyncio.timeout(PATIENCE):
            out, said = await process.communicate(python.model_dump_json(by_alias=True).encode())
    except TimeoutError:
        message = f"its module is not imported after {PATIENCE:.0f} s"
        raise InputError.at(f"{WHERE}.entrypoint", message) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0 or not out:
        last = mask(said.decode(errors="replace")).strip()[-_MOST_SAID:]
        message = f"importing it ended the process (exit code {process.returncode}) {last}"
        raise InputError.at(f"{WHERE}.entrypoint", message.strip())
    mistakes = [Mistake(where, message) for where, message in jsons.loads(out)]
    if mistakes:
        raise InputError(mistakes)


def _hiding(folder: Path) -> list[str]:
    """Modules of the user's, with which Python and what is installed could not be used any more."""
    names = sorted(sys.stdlib_module_names)
    files = [f"{name}.py" for name in names if (folder / f"{name}.py").is_file()]
    return files + [f"{name}/" for name in names if (folder / name / "__init__.py").is_file()]


def main() -> None:
    """Read `spec.processor.python` from standard input, write the mistakes to standard output."""
    signals.let_through()
    answer = os.dup(1)
    os.dup2(2, 1)  # what the user's modules print is not the answer
    python = PythonProcessor.model_validate_json(sys.stdin.buffer.read())
    open_path()
    mistakes: list[Mistake] = []
    try:
        fit(load(python.entrypoint, python.kwargs), python.entrypoint, python.mode)
        if python.initializer is not None:
            initializer(python.initializer)
    except InputError as error:
        mistakes += error.mistakes
    hide = masker(os.environ)
    os.write(answer, jsons.dumps([(one.where, hide(one.message)) for one in mistakes]).encode())
    os._exit(0)  # threads that a module has started are no reason to stay


if __name__ == "__main__":
    main()
