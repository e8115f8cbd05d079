"""The OpenAPI document is true: requests made from it are answered as it says, and so are their errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tabstudio.model.predictor import Model

from .conftest import Asking, in_process

schemathesis = pytest.importorskip("schemathesis")


MODES = schemathesis.GenerationMode


@pytest.mark.parametrize("mode", [MODES.POSITIVE, MODES.NEGATIVE], ids=["right", "wrong"])
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_requests_made_from_the_contract_meet_it(
    make_model: Callable[..., Model], task: str, mode: Any, tmp_path: Path
) -> None:
    # dates are words of a form that JSON Schema cannot tell, so whatever fits the schema must be accepted
    model = make_model(task, columns=["age", "weight: kg", "smoker", "city", "ward", "note"])
    with in_process({"ills": model}, tmp_path) as asking:
        schema = schemathesis.openapi.from_asgi("/openapi.json", _trusting(asking))
        seen: dict[str, set[int]] = {}
        for result in schema.get_all_operations():
            operation = result.ok()
            if mode == MODES.NEGATIVE and not operation.path.endswith("/predict"):
                continue  # nothing can be wrong with a request that says nothing

            @settings(
                max_examples=60,
                deadline=None,
                derandomize=True,
                database=None,
                suppress_health_check=list(HealthCheck),
            )
            @_given(operation, mode)
            def check(case: Any) -> None:
                answer = case.call()
                case.validate_response(answer)
                seen.setdefault(case.operation.label, set()).add(answer.status_code)

            check()
    assert len(seen) >= (5 if mode == MODES.POSITIVE else 1)
    predict = seen["POST /v1/models/ills/predict"]
    assert (200 if mode == MODES.POSITIVE else 422) in predict
    assert not {status for statuses in seen.values() for status in statuses if status >= 500}


def test_the_contract_names_types_levels_and_ranges(asking: Asking) -> None:
    document = asking.get("/openapi.json").json()
    row = document["components"]["schemas"]["illsRow"]
    columns = row["properties"]
    assert row["required"] == list(columns)
    assert columns["age"]["type"] == ["number", "null"]
    assert columns["age"]["x-training-range"] == [18, 89]
    assert columns["smoker"]["type"] == ["boolean", "null"]
    assert columns["city"]["x-categories"] == ["Lima", "Oslo", "Rome"]
    assert columns["city"]["type"] == ["string", "null"]
    assert columns["ward"]["type"] == ["string", "number", "null"]
    assert "%d.%m.%Y" in columns["seen"]["description"]
    answer = asking.post("/v1/models/ills/predict", {"rows": row["examples"]})
    assert answer.status_code == 200


def _given(operation: Any, mode: Any) -> Callable[[Any], Any]:
    return given(case=operation.as_strategy(generation_mode=mode))


def _trusting(asking: Asking) -> Any:
    """The application without the check of the host, which the test's client sets as it likes."""
    asking.app.hosts.any = True
    return asking.app
