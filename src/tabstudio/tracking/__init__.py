"""Tracking: a run is written to a local spool, and a separate process delivers it to MLflow."""

from __future__ import annotations

from tabstudio.tracking.recorder import Delivery, Recorder, SyncResult, deliver
from tabstudio.tracking.run import Run

__all__ = ["Delivery", "Recorder", "Run", "SyncResult", "deliver"]
