"""Log lines for people on a terminal, JSON lines everywhere else."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_CHATTY = (
    "alembic",
    "mlflow",
    "feast",
    "matplotlib",
    "httpx",
    "httpcore",
    "urllib3",
    "fsspec",
    "sqlalchemy.engine",
)


class TextLines(logging.Formatter):
    """Level, logger, message, and whatever `extra` carried as JSON after it."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - of logging
        """Of logging: the line without a trace."""
        carried = _carried(record)
        return super().formatMessage(record) + (f" {json.dumps(carried, default=str)}" if carried else "")


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, and whatever `extra` carried."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_carried(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _carried(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def configure_logging(level: str, log_format: str) -> None:
    """Send log lines to standard error; `auto` is text on a terminal and JSON lines elsewhere."""
    handler = logging.StreamHandler(sys.stderr)
    as_text = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())
    handler.setFormatter(TextLines() if as_text else JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
