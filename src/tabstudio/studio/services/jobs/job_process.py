"""The process of a job: `python -m tabstudio.studio.services.jobs.job_process DIARY`.

The diary's first line says what to do, and the functions of the command line do it. SIGINT ends a training as
Ctrl-C does: what was reached is kept.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path

from tabstudio.errors import TabstudioError
from tabstudio.studio.services.jobs.diary import DiaryReader, JobDiary
from tabstudio.studio.services.jobs.job_command import JobRequest, job_arguments

NICE = 5
"""Services and the studio come first."""
_LOOK_SECONDS = 0.3


def main(path: Path) -> int:
    """Run the request in the diary and write how it ended. Exit status 0: done, 1: failed, 130: stopped."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a studio in the background ignores it
    diary = JobDiary(path)
    try:
        diary.write("began", pid=os.getpid())
        if DiaryReader(path).read().stopping:  # before the handler stood
            signal.raise_signal(signal.SIGINT)
        request = diary.request()
        sys.argv = [
            "tabstudio",
            *job_arguments(request),
        ]  # the source that the run records
        os.nice(NICE)
        threading.Thread(target=_write_run_id, args=(diary,), daemon=True, name="run id").start()
        diary.write("result", **_done(request, diary))
    except KeyboardInterrupt:
        diary.write("stopped")
        return 130
    except TabstudioError as error:
        diary.write("failed", error="\n".join([str(error), *getattr(error, "__notes__", ())]))
        return 1
    except BaseException as error:  # noqa: BLE001 - whatever it is, the diary's readers are told
        description = f"{type(error).__name__}: {error}"
        diary.write("failed", error=f"this is a fault of tabstudio's own; its log says where: {description}")
        traceback.print_exception(error)
        return 1
    return 0


def _done(request: JobRequest, diary: JobDiary) -> dict[str, object]:
    from tabstudio.recipes import sweep, train
    from tabstudio.studio.services.jobs import diary_reporter

    options = dict(request["options"])
    reporter = diary_reporter.DiaryReporter(diary, options.get("minutes"))
    if request["kind"] == "sweep":
        search_result = sweep(
            request["table"], request["target"], name=request["name"], reporter=reporter, **options
        )
        return diary_reporter.search_summary(search_result)
    result = train(
        request["table"],
        request["target"],
        name=request["name"],
        register=request["register"],
        resume=request["resume"],
        reporter=reporter,
        **options,
    )
    return diary_reporter.training_summary(result)


def _write_run_id(diary: JobDiary) -> None:
    """Write MLflow's id of this run to the diary as soon as the process that delivers it knows it.

    Each run in the spool is opened once: while MLflow is down, thousands of them may wait there.
    """
    from tabstudio.settings import spool_folder

    spool = spool_folder() / "runs"
    others: set[str] = set()
    mine: Path | None = None
    while True:
        time.sleep(_LOOK_SECONDS)
        mine = mine or _own_run(spool, others)
        if mine is not None and (run_id := _delivered_id(mine)):
            diary.write("run", id=run_id)
            return


def _own_run(spool: Path, others: set[str]) -> Path | None:
    """Return the folder of this process's run, None while there is none; runs in `others` stay closed."""
    from tabstudio.tracking.spool import RunFolder

    for path in spool.iterdir() if spool.is_dir() else ():
        if path.name not in others:
            with suppress(FileNotFoundError):  # a run is being made, or removed
                about = RunFolder(path).about
                if about.pid == os.getpid() and not about.parent:
                    return path
                others.add(path.name)
    return None


def _delivered_id(path: Path) -> str:
    from tabstudio.tracking.spool import RunFolder

    try:
        return RunFolder(path).state.run_id
    except FileNotFoundError:  # it was delivered and removed: the result tells the id
        return ""


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
