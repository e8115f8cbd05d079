"""Gates as they are written: read whole, or refused with what was probably meant."""

from __future__ import annotations

import tomllib
from dataclasses import fields

import pytest

from tabstudio.errors import ConfigError
from tabstudio.registry import gates
from tabstudio.registry.gates import rules
from tabstudio.registry.gates.rules import LatencyGate, NoWorseGate, SliceGate, StageGates


def test_the_example_of_the_documentation_is_read_whole():
    example = rules.__doc__.partition("TOML.\n")[2]
    table = tomllib.loads(example)["registry"]["stages"]["production"]["gates"]
    assert gates.parse_gates(table, "production") == StageGates(
        metrics={"roc_auc": 0.95, "log_loss": 0.2},
        no_worse=NoWorseGate("roc_auc", 0.01),
        calibration=0.1,
        slices=(SliceGate("sex", {"recall": 0.8}, 30),),
        schema="compatible",
        latency=LatencyGate(20, 200, 1000),
        size=10 * 2**20,
        loads=True,
        reproduces=True,
    )
    assert set(table) - {"roc_auc"} == {field.name for field in fields(StageGates)}


def test_a_measure_is_a_gate_by_its_own_name():
    declared = gates.parse_gates({"roc_auc": 0.95, "metrics": {"f1": 0.9}}, "production")
    assert declared == StageGates(metrics={"roc_auc": 0.95, "f1": 0.9})


def test_the_gates_in_the_documentation_of_the_stages_are_read():
    from tabstudio.registry import stage_rules

    example = stage_rules.__doc__.partition("\n\n")[2]
    registry = tomllib.loads(example)["tool"]["tabstudio"]["registry"]
    assert stage_rules.make_rules(registry).stage("production").gates == {"roc_auc": 0.95}


def test_what_is_switched_off_is_not_asked_for():
    off = {"no_worse": False, "schema": False, "loads": False, "reproduces": False}
    assert gates.parse_gates(off, "production") == gates.parse_gates({}, "production") == StageGates()


@pytest.mark.parametrize(
    ("told", "size"), [("2 kB", 2000), ("1.5 MiB", 1572864), (17, 17), ("3GB", 3 * 10**9)]
)
def test_sizes_are_read_in_every_unit(told, size):
    assert gates.parse_gates({"size": told}, "production").size == size


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"metric": {}}, "stage live: gate metric does not exist: did you mean metrics"),
        ({"soup": 1}, "gate soup does not exist: the gates are calibration, latency"),
        ({"roc_auc": "high"}, "a bound for roc_auc was expected, got 'high'"),
        ({"roc_auc": 0.9, "metrics": {"roc_auc": 0.8}}, "gate roc_auc: it has a bound in metrics, too"),
        ({"calibration_error": 0.1}, "write calibration = 0.1"),
        ({"metrics": {"roc_acu": 0.9}}, "there is no measure 'roc_acu': did you mean roc_auc"),
        ({"metrics": {"calibration_error": 0.9}}, "has a gate of its own"),
        ({"metrics": {"f1": "high"}}, "a bound for f1 was expected, got 'high'"),
        ({"metrics": {"f1": True}}, "a bound for f1 was expected, got True"),
        ({"metrics": {"f1": float("nan")}}, "a bound for f1 was expected, got nan"),
        ({"metrics": {}}, "a table of measures and bounds was expected"),
        ({"no_worse": {"metrics": "f1"}}, "no entry 'metrics': did you mean metric"),
        ({"no_worse": {"metric": "auc"}}, "there is no measure 'auc'"),
        ({"no_worse": {"margin": -1}}, "a margin of at least 0 was expected"),
        ({"no_worse": "production"}, "was expected, got 'production'"),
        ({"calibration": 3}, "a bound from 0 to 1 was expected, got 3"),
        ({"slices": {"sex": 1}}, "a list of tables"),
        ({"slices": [{"colum": "sex"}]}, "no entry 'colum': did you mean column"),
        ({"slices": [{"column": "sex"}]}, "a column and its bounds were expected"),
        ({"slices": [{"column": "sex", "metrics": {"f1": 1}, "min_rows": 0}]}, "at least 1 was expected"),
        ({"schema": "same"}, '"compatible" or "strict" was expected, got \'same\''),
        ({"latency": {"rows": 10}}, "milliseconds for a row or a batch"),
        ({"latency": {"row": 0}}, "milliseconds above 0"),
        ({"latency": {"row": 1, "rows": 0}}, "a number of rows of at least 1"),
        ({"size": "ten"}, "bytes such as"),
        ({"size": "10 parsec"}, "bytes such as"),
        ({"loads": "yes"}, "true or false was expected, got 'yes'"),
    ],
)
def test_what_does_not_exist_or_fit_is_refused_by_name(table, message):
    with pytest.raises(ConfigError, match=message):
        gates.parse_gates(table, "live")


def test_all_faults_are_named_at_once():
    with pytest.raises(ConfigError) as caught:
        gates.parse_gates({"soup": 1, "size": -1, "loads": 2}, "live")
    assert len(str(caught.value).splitlines()) == 3
