"""`tabstudio run train.py`: the script runs as under `python train.py`, and is watched."""

from __future__ import annotations

import builtins
import gc
import importlib.machinery
import os
import signal
import sys
import types
from pathlib import Path
from types import TracebackType

from tabstudio._compat.python import join_threads
from tabstudio.autologging.events import Observer, WatchedTraining
from tabstudio.autologging.launch.interpreter_exit import leave_in_order
from tabstudio.autologging.launch.session import AutologOptions, AutologSession
from tabstudio.autologging.launch.start import start_session
from tabstudio.autologging.observers.console_output import ConsoleObserver
from tabstudio.errors import ConfigError, TabstudioError
from tabstudio.tracking.recorder import PATIENCE
from tabstudio.tracking.run import Status

OURS = str(Path(__file__).parents[1])
_RARELY = (50_000, 50, 100)


def run_script(path: str | Path, arguments: list[str], options: AutologOptions) -> int:
    """Run a Python script as `__main__`, watched, and return its exit code when MLflow has everything.

    The script finds `sys.argv`, `sys.path[0]`, `__file__` and the rest as under `python path arguments`; an
    exception is printed as Python prints it. Ends this process by SIGINT after a Ctrl-C, as Python does.

    Raises `ConfigError` where the script cannot be read, and what `start` raises.
    """
    script = Path(path)
    source = _read(script)
    session = start_session(options, " ".join([script.name, *arguments]), watch_end=False)
    session.observe(ConsoleObserver(script.absolute()))
    session.observe(_FewerCollections())
    module = _as_main(str(path), arguments)
    status, code, error = _executed(module, source)
    join_threads()
    session.end(status, error)
    leave_in_order(module)
    _tell(session)
    if status == "KILLED":
        _die_by_interrupt()
    return code


def _read(script: Path) -> bytes:
    if not script.is_file():
        there = (
            ", ".join(sorted(p.name for p in script.parent.glob("*.py"))[:5])
            if script.parent.is_dir()
            else ""
        )
        hint = f"; there is {there}" if there else ""
        raise ConfigError(
            f"run {script}: a Python script or a notebook was expected, there is no such file{hint}"
        )
    return script.read_bytes()


def _as_main(path: str, arguments: list[str]) -> types.ModuleType:
    """A fresh `__main__`, and the interpreter's state as `python path arguments` has it."""
    module = types.ModuleType("__main__")
    module.__file__ = str(Path(path).absolute())
    module.__loader__ = importlib.machinery.SourceFileLoader("__main__", module.__file__)
    module.__dict__.update(__builtins__=builtins, __cached__=None, __annotations__={})
    sys.modules["__main__"] = module
    sys.argv = [path, *arguments]
    sys.path[0] = str(Path(path).resolve().parent)
    return module


def _executed(module: types.ModuleType, source: bytes) -> tuple[Status, int, BaseException | None]:
    """Run the code. Gives the run's status, the exit code, and the exception that ended it."""
    gc.enable()
    try:
        exec(compile(source, str(module.__file__), "exec"), module.__dict__)  # noqa: S102 - what the command is for
    except SystemExit as leaving:
        code = _exit_code(leaving.code)
        return ("FAILED" if code else "FINISHED"), code, None
    except KeyboardInterrupt as interrupt:
        _print(_without_our_frames(interrupt))
        return "KILLED", 130, None
    except BaseException as error:  # noqa: BLE001 - whatever ends a script ends it here
        _print(_without_our_frames(error))
        return "FAILED", 1, error
    return "FINISHED", 0, None


def _exit_code(code: object) -> int:
    """What Python makes of `sys.exit(code)`."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)  # noqa: T201 - as Python does
    return 1


def _print(error: BaseException) -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    sys.excepthook(type(error), error, error.__traceback__)


def _without_our_frames(error: BaseException) -> BaseException:
    """The exception, its causes too, with the frames of the user and of libraries only."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            one.__traceback__ = _stripped(one.__traceback__)
            waiting += [one.__cause__, one.__context__]
    return error


def _stripped(trace: TracebackType | None) -> TracebackType | None:
    kept = []
    while trace is not None:
        if not trace.tb_frame.f_code.co_filename.startswith(OURS):
            kept.append(trace)
        trace = trace.tb_next
    rest: TracebackType | None = None
    for one in reversed(kept):
        rest = TracebackType(rest, one.tb_frame, one.tb_lasti, one.tb_lineno)
    return rest


def _tell(session: AutologSession) -> None:
    """Say on stderr where the run stands, or why there is none."""
    if not session.runs and session.spawned:
        return  # the process that trained has told its own
    if not session.runs:
        session.warn("nothing was trained and no figure shown: no run was kept")
        return
    try:
        session.warn(str(session.recorder.wait(PATIENCE)))
    except TabstudioError as error:
        session.warn(str(error))


def _die_by_interrupt() -> None:
    """Let the shell see what it sees of a Python script: it stops a loop of commands then."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)


class _FewerCollections(Observer):
    """Lets the garbage collector look seldom until training begins.

    Importing makes millions of objects and no garbage; looking for it takes as long as the imports do.
    """

    name = "the garbage collector"

    def install(self, session: AutologSession) -> None:
        self._before = gc.get_threshold()
        gc.set_threshold(*_RARELY)

    def training_began(self, training: WatchedTraining) -> None:
        self.remove()

    def remove(self) -> None:
        if gc.get_threshold() == _RARELY:  # a script's own choice stays
            gc.set_threshold(*self._before)
