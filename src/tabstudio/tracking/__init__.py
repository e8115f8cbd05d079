"""Tracking: a run is written to a local spool, and a process of its own brings it to MLflow."""

from __future__ import annotations

from tabstudio.tracking.recorder import Delivery, Recorder, SyncResult, deliver
from tabstudio.tracking.run import Run

__all__ = ["Delivery", "Recorder", "Run", "SyncResult", "deliver"]
