"""Trained models at work: files of any length are scored here."""
