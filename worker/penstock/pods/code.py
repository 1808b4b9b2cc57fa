"""Code that comes as one archive, unpacked before a pod that needs it starts.

PENSTOCK_CODE  the folder that `codeFrom` is mounted as; that of the archive's files afterwards
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import MutableMapping
from pathlib import Path

from penstock.errors import InputError
from penstock.spec.names import CODE_ARCHIVE

CODE = "PENSTOCK_CODE"
_WHERE = "spec.processor.python.codeFrom"


def unpack_code(environ: MutableMapping[str, str]) -> None:
    """Let `environ` name a folder with the files themselves. Raises InputError."""
    folder = environ.get(CODE)
    if not folder:
        return
    archive = Path(folder, CODE_ARCHIVE)
    if not archive.is_file():
        return
    unpacked = tempfile.mkdtemp(prefix="penstock-code-")
    try:
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(unpacked)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise InputError.at(_WHERE, f"{CODE_ARCHIVE} cannot be unpacked: {error}") from error
    except OSError as error:
        raise InputError.at(
            _WHERE, f"{CODE_ARCHIVE} cannot be unpacked: {error.strerror}"
        ) from error
    environ[CODE] = unpacked
