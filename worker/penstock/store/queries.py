"""SQL lives in sql/*.sql, one named and commented query after another; this reads them.

A query starts with a line `-- name: claim_shards`; the comment lines below it say what it does
and what its parameters are.
"""

from __future__ import annotations

import re
from importlib import resources

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


def load(name: str) -> dict[str, str]:
    """Queries of sql/<name>.sql by their names."""
    text = (resources.files("penstock.store") / "sql" / f"{name}.sql").read_text(encoding="utf-8")
    parts = _NAME.split(text)
    return {parts[i]: parts[i + 1].strip() for i in range(1, len(parts), 2)}
