"""What fails a run of the tests for its cost, and what does not."""

from .budget import ENOUGH, complaints

RECORDED = {f"tests/test_{n}.py": {"busy": 10.0, "processes": 8} for n in range(ENOUGH)}
BUSY = dict.fromkeys(RECORDED, 10.0)
PROCESSES = dict.fromkeys(RECORDED, 8)


def told(busy=None, processes=None):
    return complaints(RECORDED, BUSY | (busy or {}), {**PROCESSES, "new.py": 0} | (processes or {}))


def test_what_costs_as_recorded_is_fine():
    assert told() == []


def test_a_file_that_takes_far_longer_is_named():
    (line, way_out) = told({"tests/test_3.py": 36.0})
    assert line == "tests/test_3.py took 36 s of the processor, 35 s at most were expected"
    assert "make budget" in way_out


def test_a_slow_machine_is_no_fault_of_a_file():
    assert told(dict.fromkeys(RECORDED, 70.0) | {"tests/test_3.py": 240.0}) == []
    assert len(told(dict.fromkeys(RECORDED, 70.0) | {"tests/test_3.py": 250.0})) == 2


def test_a_file_that_starts_more_processes_is_named_whatever_the_machine():
    assert told(processes={"tests/test_3.py": 12}) == []
    assert told(processes={"tests/test_3.py": 13})[0] == (
        "tests/test_3.py started 13 Python processes, 12 at most were expected"
    )


def test_an_unknown_file_may_cost_something():
    assert told({"new.py": 134.0}) == []
    assert told({"new.py": 136.0})[0].startswith("new.py took 136 s")


def test_a_few_files_say_nothing_about_the_machine():
    assert complaints(RECORDED, {"tests/test_3.py": 500.0}, {"tests/test_3.py": 8}) == []
