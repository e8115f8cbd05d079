"""The private names of smaller libraries, and of Python, are there and do what `_compat` says of them."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from tabstudio._compat import matplotlib as matplotlib_compat
from tabstudio._compat import python as python_compat
from tabstudio._compat.sklearn import input_positions
from tabstudio._compat.torchmetrics import WRAP_COMPUTE
from tabstudio._compat.uvicorn import becomes_websocket


def test_a_column_transformer_knows_its_input_columns():
    from sklearn.compose import ColumnTransformer
    from sklearn.preprocessing import StandardScaler

    transformer = ColumnTransformer([("scaled", StandardScaler(), [2, 0])], remainder="drop")
    transformer.fit(np.zeros((3, 4)))
    positions = input_positions(transformer)
    assert (list(positions["scaled"]), list(positions["remainder"])) == ([2, 0], [1, 3])


def test_an_open_figure_is_found_without_being_made_current():
    from matplotlib import pyplot

    first, second = pyplot.figure(), pyplot.figure()
    try:
        assert matplotlib_compat.numbered_figure(pyplot, first.number) is first
        assert pyplot.gcf() is second
    finally:
        pyplot.close("all")


def test_the_values_of_a_metric_pass_through_one_wrapper():
    torchmetrics = pytest.importorskip("torchmetrics")
    calls = []

    class Counted(torchmetrics.MeanMetric):
        pass

    def wrap(self, compute):
        calls.append(compute.__name__)
        return compute

    setattr(Counted, WRAP_COMPUTE, wrap)
    Counted()
    assert calls == ["compute"]


def test_python_ends_in_the_same_order():
    script = """
import atexit, threading, time
from tabstudio._compat.python import join_threads, run_exit_functions
threading.Thread(target=lambda: (time.sleep(0.1), print("thread"))).start()
atexit.register(print, "exit")
join_threads(); print("joined")
run_exit_functions(); print("ran")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["thread", "joined", "exit", "ran"]


def test_a_module_is_being_imported_while_its_code_runs(tmp_path, monkeypatch):
    (tmp_path / "half_imported.py").write_text(
        "import sys\nfrom tabstudio._compat.python import is_being_imported\n"
        "during = is_being_imported(sys.modules[__name__])\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import half_imported

    assert half_imported.during
    assert not python_compat.is_being_imported(half_imported)
    del sys.modules["half_imported"]


@pytest.mark.parametrize(("upgrade", "expected"), [("websocket", True), ("h2c", False)])
def test_a_connection_that_becomes_a_websocket_is_known(upgrade, expected):
    import asyncio

    from uvicorn import Config
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
    from uvicorn.server import ServerState

    async def read():
        config = Config(lambda *_: None, log_config=None, ws="websockets-sansio")
        config.load()
        protocol = HttpToolsProtocol(config, ServerState(), {})
        protocol.headers = [(b"connection", b"upgrade"), (b"upgrade", upgrade.encode())]
        protocol.parser = SimpleNamespace(should_upgrade=lambda: True)
        return becomes_websocket(protocol)

    assert asyncio.run(read()) is expected


def test_commands_are_given_contexts_and_formatters_of_their_own():
    from typer.core import TyperCommand

    from tabstudio._compat.typer import Context, HelpFormatter

    context = Context(TyperCommand("a"))
    assert isinstance(context.make_formatter(), HelpFormatter)
