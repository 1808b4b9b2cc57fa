"""Reads as much of a program's file as tells whether it runs without the machine's libraries."""

from __future__ import annotations

import struct
from pathlib import Path

_MAGIC = b"\x7fELF"
_INTERPRETER = 3  # PT_INTERP, the segment that names the dynamic linker
# By the class of the file (32 or 64 bits): where e_phoff stands and how wide it is, and where
# e_phentsize and e_phnum stand.
_HEADERS = {1: (28, "I", 42), 2: (32, "Q", 54)}


def is_static(program: Path) -> bool:
    """Whether this is an ELF program that names no dynamic linker. Raises OSError."""
    with program.open("rb") as file:
        head = file.read(64)
        if len(head) < 64 or not head.startswith(_MAGIC) or head[4] not in _HEADERS:
            return False
        order = "<" if head[5] == 1 else ">"
        place, width, sizes = _HEADERS[head[4]]
        (start,) = struct.unpack_from(f"{order}{width}", head, place)
        size, count = struct.unpack_from(f"{order}HH", head, sizes)
        file.seek(start)
        table = file.read(size * count)
    kinds = (table[at : at + 4] for at in range(0, len(table), size or 1))
    return struct.pack(f"{order}I", _INTERPRETER) not in kinds
