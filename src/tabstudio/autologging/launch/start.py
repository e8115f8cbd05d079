"""`tabstudio.autolog()`: one call before the loop, or none under `tabstudio run`."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Mapping
from types import TracebackType

from tabstudio.autologging.events import Observer
from tabstudio.autologging.launch.session import AutologOptions, AutologSession
from tabstudio.tracking import Recorder

_session: AutologSession | None = None


def autolog(
    *,
    experiment: str | None = None,
    run_name: str | None = None,
    log_models: bool = True,
    log_datasets: bool = True,
    log_every_n_step: int | None = None,
    registered_model_name: str | None = None,
    extra_tags: Mapping[str, str] | None = None,
    disable: bool = False,
    silent: bool = False,
) -> None:
    """Log every PyTorch training of this process to MLflow, from here on.

    Parameters that `mlflow.pytorch.autolog` has are spelled as there. Call it before the loop; the loop
    stays as it is. A second call with other options counts from the next run on.

    Parameters
    ----------
    experiment, run_name : str, optional
        Where the run goes and what it is called; by default as MLflow's settings say, or after the script.
    log_models : bool
        Keep the best model (by validation loss) and the last one.
    log_datasets : bool
        Record the tensors and frames that were trained on as inputs: names, shapes, fingerprint.
    log_every_n_step : int, optional
        Record the loss of every n-th optimizer step; by default ever fewer of them the longer it takes.
    registered_model_name : str, optional
        Register the model as a version of this name.
    extra_tags : mapping of str to str, optional
        Tags of the run.
    disable : bool
        Stop: everything that was patched is put back, the run is ended.
    silent : bool
        Tell nothing on stderr.

    Raises
    ------
    ConfigError
        The tracking address is of no known kind, or the name cannot be registered.
    TrackingError
        The spool cannot be written.

    Examples
    --------
    >>> tabstudio.autolog()  # doctest: +SKIP
    """
    if disable:
        if _session is not None:
            _session.close()
        return
    if os.environ.get("RANK", "0") != "0":  # of several processes that train one model, the first one records
        return
    options = AutologOptions(
        experiment,
        run_name,
        registered_model_name,
        log_models,
        log_datasets,
        log_every_n_step,
        dict(extra_tags or {}),
        silent,
    )
    if _session is not None and not _session.closed:
        _session.options = options
        return
    start_session(options)


def start_session(
    options: AutologOptions,
    source: str | None = None,
    recorder: Recorder | None = None,
    *,
    watch_end: bool = True,
) -> AutologSession:
    """Start the session of this process. `source` is what MLflow shows as the origin of its runs.

    Without `watch_end` the caller ends the session; else the end of the process does.
    """
    global _session
    _session = AutologSession(options, recorder or Recorder(), source)
    for observer in (*([_Ending()] if watch_end else []), *_observers()):
        _session.observe(observer)
    return _session


def current_session() -> AutologSession | None:
    """Return the session of this process, None where none was started."""
    return _session if _session is not None and not _session.closed else None


def _observers() -> list[Observer]:
    """Every observer there is, in the order in which they are told of things."""
    from tabstudio.autologging.launch.spawned_processes import SpawnObserver
    from tabstudio.autologging.observers.datasets import DatasetObserver
    from tabstudio.autologging.observers.figures import FigureObserver
    from tabstudio.autologging.observers.lightning import LightningObserver
    from tabstudio.autologging.observers.mlflow_runs import MlflowRunObserver
    from tabstudio.autologging.observers.model_checkpoints import CheckpointObserver
    from tabstudio.autologging.observers.scaler_advice import ScalerAdvice
    from tabstudio.autologging.observers.scores import ScoreObserver
    from tabstudio.autologging.observers.seeds import SeedObserver
    from tabstudio.autologging.observers.training_loop import TrainingLoopObserver

    watching = [
        MlflowRunObserver(),
        LightningObserver(),
        TrainingLoopObserver(),
        FigureObserver(),
        ScoreObserver(),
        DatasetObserver(),
        CheckpointObserver(),
        ScalerAdvice(),
    ]
    return [*watching, SeedObserver(), SpawnObserver(start_session, current_session)]


class _Ending(Observer):
    """Ends the session with the process: an exception that nobody caught is FAILED, Ctrl-C KILLED."""

    name = "the end of the process"

    def install(self, session: AutologSession) -> None:
        self._session, self._before = session, sys.excepthook
        sys.excepthook = self._uncaught
        atexit.register(session.close)

    def remove(self) -> None:
        atexit.unregister(self._session.close)
        if sys.excepthook == self._uncaught:
            sys.excepthook = self._before

    def _uncaught(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        killed = isinstance(error, KeyboardInterrupt)
        self._session.close("KILLED" if killed else "FAILED", None if killed else error)
        self._before(kind, error, trace)
