"""Trainings and searches that were started from the studio: processes of their own, each with a diary."""

from __future__ import annotations

from tabstudio.studio.services.jobs.diary import JobProgress
from tabstudio.studio.services.jobs.studio_jobs import StudioJob, StudioJobs

__all__ = ["JobProgress", "StudioJob", "StudioJobs"]
