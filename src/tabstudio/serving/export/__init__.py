"""Trained models as files for other runtimes, checked against the model before they appear."""
