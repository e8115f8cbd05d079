"""State and progress of a job as text and curves."""

from __future__ import annotations

from collections.abc import Sequence

from tabstudio.studio.pages.runs.run_text import format_duration
from tabstudio.studio.services.jobs import JobProgress, StudioJob
from tabstudio.studio.services.jobs.studio_jobs import JobState

JOB_TONES: dict[JobState, str] = {
    "running": "info",
    "stopping": "warning",
    "done": "good",
    "stopped": "warning",
    "failed": "danger",
    "died": "danger",
    "elsewhere": "",
}
POINTS = 400
"""Points of a curve that are sent to a browser: more cannot be told apart."""

Curves = dict[str, list[tuple[float, float]]]


def progress_text(job: StudioJob) -> str:
    """Return the progress of a job in a line."""
    progress = job.progress
    if not job.going:
        return _ended(job)
    if job.state == "stopping":
        return "keeping what it has reached"
    if progress.seconds_left is None:
        return "evaluating" if progress.epochs or progress.trials else "preparing the table"
    done = (
        f"trial {progress.trials:,} of {progress.trials_wanted:,}"
        if progress.trials_wanted
        else f"epoch {progress.epochs[-1][0]:,} of up to {progress.epochs_wanted:,}"
    )
    return f"{done} · at most {format_duration(progress.seconds_left)} left"


def _ended(job: StudioJob) -> str:
    progress = job.progress
    took = f" after {format_duration(progress.ended_at - progress.began)}" if progress.ended_at else ""
    if job.state == "done":
        return f"done{took}"
    if job.state == "stopped":
        remains = "what it had reached is kept" if progress.result else "nothing was reached yet"
        return f"stopped{f' by {progress.stopping}' if progress.stopping else ''}{took}; {remains}"
    if job.state == "failed":
        return f"failed{took}"
    if job.state == "elsewhere":
        return f"it works on {job.machine}, or died there"
    return "its process has gone without a word: the machine may have been short of memory, or restarted"


def curve_title(job: StudioJob) -> str:
    """Return the title of a job's curves."""
    return "Loss" if job.kind == "train" else "Best validation loss"


def curve_axis(job: StudioJob) -> str:
    """Return what the curves of a job are drawn over."""
    return "epoch" if job.kind == "train" else "trials"


def loss_curves(progress: JobProgress) -> Curves:
    """Return the curves of a job: losses by epoch, or the best loss by trial."""
    if progress.trials_wanted:
        return {"best validation loss": [(float(done), loss) for done, loss in progress.best]}
    epochs = thinned(progress.epochs, POINTS)
    curves = {
        "training": [(float(number), train) for number, train, _ in epochs if train is not None],
        "validation": [(float(number), val) for number, _, val in epochs if val is not None],
    }
    return {name: points for name, points in curves.items() if points or name == "training"}


def thinned(
    points: Sequence[tuple[int, float, float | None]], most: int
) -> Sequence[tuple[int, float, float | None]]:
    """Return at most about `most` points, evenly taken, the last one among them."""
    step = -(-len(points) // most)
    return points if step <= 1 else [*points[:-1:step], points[-1]]
