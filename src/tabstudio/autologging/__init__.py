"""Tracking for people who write their own PyTorch loop: what it does is watched, and stands in MLflow."""

from __future__ import annotations

from tabstudio.autologging.observer import Epoch, Observer, Training
from tabstudio.autologging.session import Options, Session
from tabstudio.autologging.starting import autolog, current, start

__all__ = ["Epoch", "Observer", "Options", "Session", "Training", "autolog", "current", "start"]
