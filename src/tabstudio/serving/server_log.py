"""The server's own log: lines for people, or JSON objects for machines, on stderr."""

from __future__ import annotations

import json
import logging
import time

from tabstudio.serving.request_hooks import CompletedRequest

LOGGER = "tabstudio.serving"
ACCESS = f"{LOGGER}.access"
_OWN = frozenset((*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"))


class JsonLines(logging.Formatter):
    """One JSON object a line: `time` (UTC), `level`, `logger`, `message`, and the record's `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON, its traceback in `exception`."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, object] = {
            "time": f"{moment}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _OWN}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def configure(as_json: bool) -> None:
    """Send the server's log to stderr. Call it once, when a process starts."""
    handler = logging.StreamHandler()
    plain = logging.Formatter("%(asctime)s %(levelname)-7s %(message)s")
    handler.setFormatter(JsonLines() if as_json else plain)
    logger = logging.getLogger(LOGGER)
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def log_access(request: CompletedRequest) -> None:
    """Write a line for one answered request."""
    names = ("route", "model", "status", "rows", "request_id")
    facts = {name: getattr(request, name) for name in names}
    logging.getLogger(ACCESS).info(
        "%s %s %s in %.1f ms, %d rows, %s",
        request.route,
        request.model or "-",
        request.status,
        request.seconds * 1e3,
        request.rows,
        request.request_id,
        extra={**facts, "seconds": round(request.seconds, 6)},
    )
