"""The hooks of a worker end well, whatever fails on the way."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tabstudio.serving import worker_hooks
from tabstudio.serving.predictionlog.log_options import LogOptions
from tabstudio.serving.serve_options import ServedModel, ServeOptions
from tabstudio.serving.worker_hooks import WorkerHooks


def test_the_log_is_closed_and_snapshots_go_on_where_the_metrics_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker_hooks, "SNAPSHOT_SECONDS", 0.001)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    log = LogOptions(folder=str(tmp_path / "log"))
    options = ServeOptions((ServedModel("m", "folder"),), scratch=str(scratch), log=log)
    hooks = WorkerHooks(options, 0)
    closed: list[bool] = []
    assert hooks.log is not None
    close = hooks.log.close
    monkeypatch.setattr(hooks.log, "close", lambda: closed.append(True) or close())

    async def scenario() -> None:
        service: Any = SimpleNamespace(in_flight=0, queue_length=0)
        await hooks.start(service)
        shutil.rmtree(scratch)
        await asyncio.sleep(0.02)
        scratch.mkdir()
        await asyncio.sleep(0.02)
        assert list(scratch.glob("metrics-*"))
        shutil.rmtree(scratch)
        await hooks.stop()

    asyncio.run(scenario())
    assert closed == [True]
    assert sum("metrics cannot be written" in message for message in caplog.messages) == 2
