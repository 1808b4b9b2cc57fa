"""The operator's log, on stderr: lines for people, or JSON for collectors. Secrets are masked."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from penstock import jsons
from penstock.local import logfile
from penstock.secrets import MaskingFormatter, masker

FORMAT = "PENSTOCK_LOG_FORMAT"


def configure(environ: Mapping[str, str]) -> None:
    """Log from INFO up. The variable PENSTOCK_LOG_FORMAT may say `json`."""
    logfile.configure(None, "operator", environ)
    if environ.get(FORMAT) == "json":
        for handler in logging.getLogger().handlers:
            if isinstance(handler.formatter, MaskingFormatter):
                handler.setFormatter(JSONFormatter(masker(environ)))
    # kopf tells of every handler it calls; what goes wrong it tells as a warning.
    logging.getLogger("kopf").setLevel(logging.WARNING)


class JSONFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and error with a traceback."""

    def __init__(self, mask: Callable[[str], str]) -> None:
        super().__init__()
        self._mask = mask

    def format(self, record: logging.LogRecord) -> str:
        """One record as JSON, without secrets."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._mask(record.getMessage()),
        }
        if record.exc_info:
            line["error"] = self._mask(self.formatException(record.exc_info))
        return jsons.dumps(line)
