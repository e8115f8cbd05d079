"""Tracking: a run is written to a local spool, and a process of its own brings it to MLflow."""

from __future__ import annotations

from tabstudio.tracking.recorder import Brought, Delivery, Recorder, deliver
from tabstudio.tracking.run import Run

__all__ = ["Brought", "Delivery", "Recorder", "Run", "deliver"]
