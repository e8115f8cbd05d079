"""Watches PyTorch: which losses, which steps, which epochs."""

from __future__ import annotations

from tabstudio.autologging.observer import Observer


class Loops(Observer):
    """The observer of training loops."""

    name = "the training loop"
