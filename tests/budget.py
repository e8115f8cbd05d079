"""What each file of tests costs, seconds and Python processes, held against `budget.json`.

Files run in the order of their recorded seconds, the longest first, so that no worker ends alone. `--budget`
fails a run in which a file costs much more than recorded. Processes count as they are. Seconds are those of
the processor, of a test and the processes that have ended in it, divided by how much slower this machine is:
the median over all files of the same run. `--record-budget` writes the costs down anew.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

RECORD = Path(__file__).with_name("budget.json")
SLOWER, FLOOR = 2.0, 15.0
"""A file may take so many times its seconds of the processor, and so many seconds beside."""
MORE, BESIDE = 1.25, 2
"""A file may start so many times its processes, and so many beside: some are tried until one ends well."""
UNKNOWN = {"busy": 60.0, "processes": 24}
"""What a file that is not recorded yet counts as."""
ENOUGH = 20
"""Without so many recorded files in a run there is no telling how slow the machine is."""

_processes = 0


def _count(event: str, arguments: tuple[Any, ...]) -> None:
    """Count the starts of Python, by far the dearest thing that a test can do."""
    global _processes
    if event == "subprocess.Popen" and str(arguments[0]).startswith(str(Path(sys.executable).parent)):
        _processes += 1


@contextmanager
def uncounted() -> Iterator[None]:
    """What is made once for all files is in no file's count."""
    global _processes
    before = _processes
    yield
    _processes = before


class Budget:
    """The costs of a run by file, gathered where its reports come together."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.recorded = _recorded()
        self.seconds: dict[str, float] = defaultdict(float)
        self.busy: dict[str, float] = defaultdict(float)
        self.processes: dict[str, int] = defaultdict(int)
        self.began = 0.0
        self.complaints: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Order the files: the longest first, and those that are not known before them."""
        known = {file: cost["seconds"] for file, cost in self.recorded.items()}
        items.sort(key=lambda item: -known.get(_file(item.nodeid), 1e9))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Iterator[None]:
        """Tell with each report what the test has cost so far; workers send it on."""
        report = yield
        report.user_properties += [("processes", _processes), ("busy", _busy() - self.began)]
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Iterator[Any]:
        """Count from nothing for each test."""
        global _processes
        _processes, self.began = 0, _busy()
        return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add what a phase of a test took; the last one knows what all of it cost."""
        file = _file(report.nodeid)
        self.seconds[file] += report.duration
        if report.when == "teardown":
            cost = dict(report.user_properties)
            self.processes[file] += cost["processes"]
            self.busy[file] += cost["busy"]

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the costs down, or fail the run where they are too high."""
        if hasattr(session.config, "workerinput"):
            return
        if session.config.getoption("record_budget"):
            costs = {
                file: {
                    "seconds": round(self.seconds[file], 1),
                    "busy": round(self.busy[file], 1),
                    "processes": self.processes[file],
                }
                for file in sorted(self.seconds)
            }
            RECORD.write_text(json.dumps(_recorded() | costs, indent=0) + "\n")
        if session.config.getoption("budget"):
            self.complaints = complaints(self.recorded, self.busy, self.processes)
            if self.complaints and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print what is too dear."""
        if self.complaints:
            terminalreporter.section("over budget", red=True)
            for line in self.complaints:
                terminalreporter.line(line)


def complaints(
    recorded: dict[str, dict[str, float]], busy: dict[str, float], processes: dict[str, int]
) -> list[str]:
    """Return a line for each file that costs much more than what is recorded of it."""
    pace = [
        busy[file] / cost["busy"] for file, cost in recorded.items() if file in busy and cost["busy"] >= 1
    ]
    slower = max(statistics.median(pace), 1.0) if len(pace) >= ENOUGH else None
    lines = []
    for file in sorted(busy):
        cost = recorded.get(file, UNKNOWN)
        most = int(MORE * cost["processes"]) + BESIDE
        if processes[file] > most:
            lines.append(f"{file} started {processes[file]} Python processes, {most} at most were expected")
        if slower is not None and busy[file] > (limit := slower * (SLOWER * cost["busy"] + FLOOR)):
            lines.append(
                f"{file} took {busy[file]:.0f} s of the processor, {limit:.0f} s at most were expected"
            )
    return [*lines, "where that has to be so: make budget"] if lines else []


def _busy() -> float:
    """Seconds of the processor that this process and its ended children have had."""
    return sum(os.times()[:4])


def _recorded() -> dict[str, dict[str, float]]:
    costs = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    return {file: cost for file, cost in costs.items() if (RECORD.parents[1] / file).exists()}


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the two options."""
    group = parser.getgroup("budget")
    group.addoption("--budget", action="store_true", help="fail where a file costs more than recorded")
    group.addoption("--record-budget", action="store_true", help="write tests/budget.json")


def pytest_configure(config: pytest.Config) -> None:
    """Begin to count."""
    sys.addaudithook(_count)
    config.pluginmanager.register(Budget(config), "budget of the tests")
