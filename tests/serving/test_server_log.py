"""The server's own log: one JSON object a line where machines read it."""

from __future__ import annotations

import json
import logging

import pytest

from tabstudio.serving import server_log
from tabstudio.serving.request_hooks import CompletedRequest


def completed(route, model, seconds, rows):
    return CompletedRequest({}, route, model, "1", "live", 200, seconds, rows, "r-1")


@pytest.fixture
def logger():
    logger = logging.getLogger(server_log.LOGGER)
    before = logger.handlers[:], logger.level, logger.propagate
    yield logger
    logger.handlers[:], logger.level, logger.propagate = before


def test_json_lines_hold_message_extras_and_tracebacks(logger, capsys):
    server_log.configure(as_json=True)
    server_log.log_access(completed("/v1/models/NAME/predict", "cancer", 0.0012345, rows=3))
    try:
        int("no\nnumber")
    except ValueError:
        logger.exception("request %s failed", "r-2")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert first["request_id"] == "r-1"
    assert (first["status"], first["rows"], first["seconds"]) == (200, 3, 0.001234)
    assert first["level"] == "info"
    assert first["time"].endswith("Z")
    assert second["message"] == "request r-2 failed"
    assert "ValueError: invalid literal" in second["exception"]


def test_lines_for_people_are_short(logger, capsys):
    server_log.configure(as_json=False)
    server_log.log_access(completed("/metrics", "", 0.0012, rows=0))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("INFO    /metrics - 200 in 1.2 ms, 0 rows, r-1")
