"""`tabstudio run notebook.ipynb`: every cell is executed in a kernel of its own, which is watched."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from tabstudio.autologging.launch.session import AutologOptions
from tabstudio.autologging.launch.start import current_session, start_session
from tabstudio.autologging.observers.console_output import ConsoleObserver
from tabstudio.errors import ConfigError, MissingExtraError, TabstudioError
from tabstudio.settings import spool_folder, tracking_address
from tabstudio.tracking.recorder import PATIENCE
from tabstudio.tracking.run import Status

if TYPE_CHECKING:
    from nbformat import NotebookNode

_HERE = "__import__('tabstudio.autologging.launch.notebook', fromlist=['begin'])"


def run_notebook(path: Path, arguments: list[str], options: AutologOptions) -> int:
    """Execute a notebook in its own folder, and keep the executed copy with the run; the file stays as it is.

    What the cells print is printed. Gives 0, or 1 where a cell raised, 130 after a Ctrl-C. Runs go to the
    store of the folder that the command was called in.

    Raises `ConfigError` for a file that is no notebook of Python, `MissingExtraError` without nbclient.
    """
    if arguments:
        raise ConfigError(f"run {path}: a notebook takes no arguments, got {' '.join(arguments)}")
    try:
        import nbclient  # noqa: F401
        import nbformat
    except ImportError as error:
        raise MissingExtraError(
            "a notebook is run by nbclient and ipykernel: pip install 'tabstudio[notebook]'"
        ) from error
    notebook = _read(path, nbformat)
    with tempfile.TemporaryDirectory(prefix="tabstudio-") as scratch:
        executed = Path(scratch) / path.name
        return _Execution(notebook, path, options, executed).run()


def _read(path: Path, nbformat: ModuleType) -> NotebookNode:
    if not path.is_file():
        raise ConfigError(f"run {path}: a notebook was expected, there is no such file")
    try:
        notebook = nbformat.read(path, as_version=4)
    except Exception as error:  # nbformat raises its own, jsonschema's and json's
        raise ConfigError(f"run {path}: this is no notebook: {str(error).splitlines()[0][:200]}") from error
    language = notebook.metadata.get("kernelspec", {}).get("language", "python")
    if language.lower() != "python":
        raise ConfigError(f"run {path}: a notebook of Python was expected, this one is {language}")
    return notebook


class _Execution:
    """One notebook in its kernel."""

    def __init__(self, notebook: NotebookNode, path: Path, options: AutologOptions, executed: Path) -> None:
        from jupyter_client.manager import AsyncKernelManager
        from nbclient import NotebookClient

        self._notebook, self._path, self._executed = notebook, path, executed
        settings = json.dumps({**asdict(options), "source": path.name})
        self._client = NotebookClient(
            notebook,
            km=AsyncKernelManager(
                kernel_spec_manager=_own_kernel(),
                transport="tcp"
                if os.name == "nt"
                else "ipc",  # no port that others on the machine could reach
            ),
            timeout=None,
            resources={"metadata": {"path": str(path.absolute().parent)}},
            extra_arguments=[f"--IPKernelApp.exec_lines={[f'{_HERE}.begin({settings!r})']!r}"],
            on_cell_executed=self._print,
        )

    def run(self) -> int:
        from nbclient.exceptions import CellExecutionError, DeadKernelError

        environment = {
            **os.environ,
            "MLFLOW_TRACKING_URI": tracking_address(),
            "TABSTUDIO_HOME": str(spool_folder()),
        }
        status: Status = "FINISHED"
        code = 0
        with self._client.setup_kernel(env=environment):
            try:
                for index, cell in enumerate(self._notebook.cells):
                    self._client.execute_cell(cell, index)
            except CellExecutionError as error:
                print(error, file=sys.stderr)  # noqa: T201 - the cell's own traceback, as a notebook shows it
                status, code = "FAILED", 1
            except KeyboardInterrupt:
                self._interrupt()
                status, code = "KILLED", 130
            except DeadKernelError:
                raise TabstudioError(
                    f"{self._path}: the kernel died in the middle; `tabstudio sync` ends its run"
                ) from None
            self._executed.write_text(json.dumps(self._notebook, indent=1), encoding="utf-8")
            self._end(status)
        return code

    def _end(self, status: Status) -> None:
        """Have the kernel end its session, and pass on what it says."""
        from jupyter_core.utils import run_sync

        kernel: Any = self._client.kc
        call = f"{_HERE}.end({status!r}, {str(self._executed)!r})"

        async def ask() -> None:
            await kernel.execute_interactive(call, store_history=False, allow_stdin=False)

        run_sync(ask)()

    def _interrupt(self) -> None:
        """Stop the cell that is being executed: the kernel does not hear of Ctrl-C by itself."""
        from jupyter_core.utils import run_sync

        manager: Any = self._client.km

        async def stop() -> None:
            await manager.interrupt_kernel()

        run_sync(stop)()

    def _print(self, cell: NotebookNode, **_: object) -> None:
        for output in cell.get("outputs", ()):
            if output.output_type == "stream":
                stream = sys.stderr if output.name == "stderr" else sys.stdout
                print(output.text, end="", file=stream, flush=True)


def _own_kernel() -> Any:
    """A manager of kernels that knows one: this interpreter, whatever the notebook was made with."""
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager

    spec = KernelSpec(
        argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        display_name="tabstudio",
        language="python",
    )

    class OwnKernel(KernelSpecManager):
        def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
            return spec

    return OwnKernel()


def begin(settings: str) -> None:
    """Start the session of a kernel."""
    options = json.loads(settings)
    session = start_session(
        AutologOptions(**{k: v for k, v in options.items() if k != "source"}), options["source"]
    )
    session.observe(ConsoleObserver())


def end(status: Status, executed: str) -> None:
    """End the session of a kernel, and print where its run stands."""
    session = current_session()
    if session is None:
        return
    if session.runs:
        notebook = Path(executed)
        session.run.artifact(notebook, f"source/{notebook.name}")
    session.end(status)
    if session.runs:
        print(session.recorder.wait(PATIENCE), file=sys.stderr)  # noqa: T201
    else:
        session.warn("nothing was trained and no figure shown: no run was kept")
