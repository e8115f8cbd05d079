"""The network without torch gives torch's numbers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from tabstudio.model.inference import forward as forward_pass
from tabstudio.model.inference.calibration_curve import CalibrationCurve
from tabstudio.model.networks import NetworkSpec, build
from tabstudio.model.predictor import Model
from tabstudio.options import NetworkConfig
from tabstudio.serving import runtime

from .conftest import in_process

SHAPES = [
    ("mlp", 30, (), (30, 15), 1, 1),
    ("mlp", 4, (3, 12, 300), (16,), 1, 3),
    ("mlp", 5, (), (), 3, 2),
    ("tabular", 6, (4, 9, 10, 40), (24, 16), 1, 3),
    ("tabular", 6, (), (24,), 4, 1),
    ("tabular", 0, (4, 30), (24, 16), 1, 2),
    ("tabular", 201, (4,), (24, 16), 1, 2),
    ("tabular", 3, (), (), 1, 2),
]


def packed(
    name: str,
    numbers: int,
    cardinalities: tuple[int, ...],
    hidden: tuple[int, ...],
    outputs: int,
    members: int,
    activation: str = "silu",
) -> tuple[NetworkSpec, torch.nn.Module]:
    edges = [(), (-1.0, 1.0), (-1.0, 0.0, 2.0), (-0.5, 0.0, 0.25, 0.5, 3.0)]
    binned = tuple(edges[i % 4] for i in range(numbers)) if name == "tabular" and numbers < 200 else ()
    config = NetworkConfig(name, hidden, 0.1, activation)
    spec = NetworkSpec(name, numbers, cardinalities, outputs, config, edges=binned)
    pack = build(spec, list(range(members))).eval()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weights in pack.parameters():
            weights.add_(torch.randn(weights.shape, generator=generator) * 0.3)
    return spec, pack


def inputs(spec: NetworkSpec, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(rows)
    numbers = torch.randn(rows, spec.numbers, generator=generator)
    codes = [torch.randint(0, n, (rows,), generator=generator) for n in spec.cardinalities]
    return numbers, torch.stack(codes, 1) if codes else torch.zeros(rows, 0, dtype=torch.int64)


@pytest.mark.parametrize("rows", [1, 2, 17, 600])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "-".join(map(str, shape)))
def test_raw_outputs_are_those_of_torch(shape: tuple, rows: int) -> None:
    spec, pack = packed(*shape)
    numbers, codes = inputs(spec, rows)
    forward = forward_pass.compiled(
        spec.to_json(), {name: t.numpy() for name, t in pack.state_dict().items()}
    )
    assert forward is not None
    with torch.inference_mode():
        expected = pack(numbers, codes).numpy()
    np.testing.assert_allclose(forward(numbers.numpy(), codes.numpy()), expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("activation", ["relu", "gelu", "selu", "silu", "tanh", "mish"])
def test_every_activation_is_known(activation: str) -> None:
    spec, pack = packed("tabular", 6, (4,), (24, 16), 1, 3, activation)
    numbers, codes = inputs(spec, 50)
    forward = forward_pass.compiled(
        spec.to_json(), {name: t.numpy() for name, t in pack.state_dict().items()}
    )
    assert forward is not None
    with torch.inference_mode():
        expected = pack(numbers * 4, codes).numpy()
    np.testing.assert_allclose(forward(numbers.numpy() * 4, codes.numpy()), expected, rtol=2e-5, atol=2e-5)


def test_a_network_with_other_tensors_is_left_to_torch() -> None:
    spec, pack = packed("mlp", 3, (), (4,), 1, 1)
    tensors = {name: t.numpy() for name, t in pack.state_dict().items()}
    assert forward_pass.compiled(spec.to_json(), tensors) is not None
    assert forward_pass.compiled(spec.to_json(), tensors | {"layers.0.gate": np.zeros(1)}) is None
    assert (
        forward_pass.compiled(spec.to_json(), {n: t for n, t in tensors.items() if n != "layers.1.bias"})
        is None
    )
    assert forward_pass.compiled({**spec.to_json(), "name": "other"}, tensors) is None


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("network", ["tabular", "mlp"])
def test_answers_are_those_of_the_model(
    make_model: Callable[..., Model], frame, task: str, network: str, tmp_path: Path
) -> None:
    options = {"target_mean": 100.0, "target_scale": 20.0} if task == "regression" else {"temperature": 1.4}
    if task == "binary":
        options["curve"] = CalibrationCurve((-1.0, 0.5), (0.6, 1.9, 1.2), 0.4)
    model = make_model(task, network, **options)
    ready = runtime.load(model.save(tmp_path / "m"), "m", "1")
    rows = frame.select(ready.contract.names).to_dicts()
    answer = ready.answer(ready.contract.take(rows, 1000))
    if task == "regression":
        np.testing.assert_allclose(answer.labels, model.predict(rows), rtol=1e-6)
        return
    expected = model.predict_proba(rows)
    np.testing.assert_allclose(answer.probabilities, expected, rtol=0, atol=1e-6)
    assert answer.labels == model.predict(rows).tolist()


def test_a_network_without_a_plan_is_run_by_torch(
    make_model: Callable[..., Model], frame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model()
    folder = model.save(tmp_path / "m")
    monkeypatch.setattr(forward_pass, "compiled", lambda *_: None)
    ready = runtime.load(folder, "m", "1")
    rows = frame.select(ready.contract.names).to_dicts()
    answer = ready.answer(ready.contract.take(rows, 1000))
    np.testing.assert_allclose(answer.probabilities, model.predict_proba(rows), rtol=0, atol=1e-6)


def test_serving_imports_neither_torch_nor_mlflow_nor_starlette(model: Model, tmp_path: Path) -> None:
    folder = model.save(tmp_path / "m")
    code = (
        "import sys; from tabstudio.serving import worker, runtime; "
        f"runtime.load({str(folder)!r}, 'm', '1'); "
        "heavy = {'torch', 'mlflow', 'starlette', 'fastapi', 'pandas', 'sklearn', 'sqlalchemy'}; "
        "sys.exit(', '.join(heavy & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_network_trained_by_hand_is_served_with_its_steps(tmp_path: Path) -> None:
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    from tabstudio.model.from_torch import model_from_torch

    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"a": rng.normal(5, 2, 50), "b": rng.normal(size=50), "c": rng.choice(["x", "y"], 50)}
    )
    steps = ColumnTransformer([("n", StandardScaler(), ["a", "b"]), ("c", OneHotEncoder(), ["c"])]).fit(table)
    module = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    model = model_from_torch(module, preprocessor=steps, classes=["no", "yes"], rows=table)
    with in_process({"m": model}, tmp_path) as asking:
        rows = table.to_dict("records")
        said = asking.post("/v1/models/m/predict", {"rows": rows}).json()["predictions"]
        found = [list(one["probabilities"].values()) for one in said]
        np.testing.assert_allclose(found, model.predict_proba(table), atol=1e-6)
        for bad in ({**rows[0], "c": "z"}, {**rows[0], "a": None}):
            answer = asking.post("/v1/models/m/predict", {"rows": [bad]})
            assert (answer.status_code, answer.json()["error_code"]) == (422, "INVALID_ROWS")


def test_rows_that_steps_refuse_do_not_spoil_the_batch(tmp_path: Path) -> None:
    import asyncio
    import time

    from sklearn.preprocessing import StandardScaler

    from tabstudio.model.from_torch import model_from_torch

    scaler = StandardScaler().fit(np.arange(20.0).reshape(10, 2))
    model = model_from_torch(torch.nn.Linear(2, 1), preprocessor=scaler, columns=["a", "b"], target="y")
    with in_process({"m": model}, tmp_path) as asking:
        queue = asking.app.endpoints["m"].live
        rows = [{"a": 1.0, "b": 2.0}, {"a": None, "b": 2.0}, {"a": 3.0, "b": 2.0}]

        async def ask() -> list:
            until = time.monotonic() + 10
            taken = [queue.runtime.contract.take([row], 1) for row in rows]
            return await asyncio.gather(*(queue.submit(one, until) for one in taken), return_exceptions=True)

        first, second, third = asyncio.run(ask())
        assert getattr(second, "status", None) == 422
        expected = model.predict([rows[0], rows[2]])
        np.testing.assert_allclose([first.labels[0], third.labels[0]], expected, rtol=1e-6)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_an_ensemble_answers_by_the_weights_of_its_members(
    task: str, make_model: Callable[..., Model], frame: pl.DataFrame, tmp_path: Path
) -> None:
    model = make_model(task)
    plain = runtime.load(model.save(tmp_path / "plain"), "m", "1")
    size = len(model.pack)
    weights = tuple(2 * (m + 1) / (size * (size + 1)) for m in range(size))
    model.head = replace(model.head, weights=weights)
    ready = runtime.load(model.save(tmp_path / "weighted"), "m", "1")
    rows = frame.select(ready.contract.names).to_dicts()
    expected = model.predict(rows) if task == "regression" else model.predict_proba(rows)

    def said(one: runtime.Runtime) -> np.ndarray:
        answer = one.answer(one.contract.take(rows, 1000))
        return np.array(answer.labels if task == "regression" else answer.probabilities)

    np.testing.assert_allclose(said(ready), expected, rtol=1e-6, atol=1e-6)
    assert np.abs(said(plain) - expected).max() > 1e-3
