"""Tracking of hand-written PyTorch training loops: they are watched and recorded in MLflow."""

from __future__ import annotations

from tabstudio.autologging.events import Observer, WatchedEpoch, WatchedTraining
from tabstudio.autologging.launch.session import AutologOptions, AutologSession
from tabstudio.autologging.launch.start import autolog, current_session, start_session

__all__ = [
    "AutologOptions",
    "AutologSession",
    "Observer",
    "WatchedEpoch",
    "WatchedTraining",
    "autolog",
    "current_session",
    "start_session",
]
