"""How log lines of our own processes look: text for people, or a JSON object per line (ENRICH_LOG_FORMAT=json).

Belongs here: form only. Dagster's processes have `--log-format json` of their own: deploy/enrich.env.sample.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Literal

TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class JsonFormatter(logging.Formatter):
    """`time` (UTC, ISO 8601), `level`, `logger`, `message`, and `exception` with the traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """One line: JSON escapes the line ends of messages and tracebacks."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up_logs(form: Literal["text", "json"], level: int = logging.WARNING) -> None:
    """Write log lines of this process to standard error in this form."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == "json" else logging.Formatter(TEXT))
    logging.basicConfig(level=level, handlers=[handler])
