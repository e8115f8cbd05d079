"""Trainings and searches that were started from the studio: processes of their own, each with a diary."""

from __future__ import annotations

from tabstudio.studio.jobs.diary import Progress
from tabstudio.studio.jobs.jobs import Job, Jobs

__all__ = ["Job", "Jobs", "Progress"]
