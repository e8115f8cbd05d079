"""Patches and hooks in PyTorch that tell of passes, losses and forward calls."""
