"""Data is recorded where it can be seen; a forgotten scaler is told once, with the line to write."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
import sklearn.model_selection
import sklearn.preprocessing
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset, random_split

from tabstudio.autologging.observers.datasets import DatasetObserver, _loaded
from tabstudio.autologging.observers.scaler_advice import ScalerAdvice
from tabstudio.autologging.observers.training_loop import TrainingLoopObserver


def table():
    rng = np.random.default_rng(1)
    return pd.DataFrame({"a": rng.normal(size=40), "b": rng.normal(size=40), "label": rng.integers(0, 2, 40)})


def train(X, y):
    X, y = torch.tensor(X, dtype=torch.float32), torch.tensor(y, dtype=torch.float32).view(-1, 1)
    model = nn.Linear(X.shape[1], 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(4):
        optimizer.zero_grad()
        functional.mse_loss(model(X), y).backward()
        optimizer.step()
    return model


def shown(recorded):
    return {(d["name"], d["context"], d["rows"]) for run in recorded.runs for d in run.datasets}


def test_parts_of_a_split_are_inputs_by_name_and_context(watched):
    frame = table()
    X, y = frame[["a", "b"]], frame["label"].to_numpy()
    with watched(TrainingLoopObserver(), DatasetObserver()) as recorded:
        X_train, _, y_train, _ = sklearn.model_selection.train_test_split(
            X, y, test_size=0.25, random_state=0
        )
        train(X_train.to_numpy(), y_train)
    assert shown(recorded) == {
        ("X", "training", 30),
        ("X", "testing", 10),
        ("y", "training", 30),
        ("y", "testing", 10),
    }
    schemas = [d["schema"] for d in recorded.runs[0].datasets]
    assert [column["name"] for column in schemas[-1]["mlflow_colspec"]] == ["a", "b"]
    assert '"dtype": "int64", "shape": [-1]' in schemas[0]["mlflow_tensorspec"]["features"]
    assert len({d["fingerprint"] for d in recorded.runs[0].datasets}) == 4


def test_a_split_without_a_training_is_no_run(watched):
    with watched(TrainingLoopObserver(), DatasetObserver()) as recorded:
        sklearn.model_selection.train_test_split(list(range(10)))
    assert recorded.runs == []


def test_the_same_tensor_again_and_again_is_the_data(watched):
    rows = table()[["a", "b"]].to_numpy()
    with watched(TrainingLoopObserver(), DatasetObserver()) as recorded:
        model = train(rows, rows[:, 0])
    assert shown(recorded) == {("model_input", "training", 40)}
    assert not model._forward_pre_hooks


def test_batches_are_not_taken_for_the_data(watched):
    rows = torch.randn(40, 2)
    with watched(TrainingLoopObserver(), DatasetObserver()) as recorded:
        model = nn.Linear(2, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for batch in rows.split(10):
            optimizer.zero_grad()
            model(batch).square().mean().backward()
            optimizer.step()
    assert shown(recorded) == set()


def test_a_loaders_tensors_are_described_by_their_content():
    tensors = torch.arange(20.0).view(10, 2), torch.arange(10)
    first, second = random_split(TensorDataset(*tensors), [6, 4])
    whole = _loaded(DataLoader(TensorDataset(*tensors)), "train_loader", "training")
    assert (whole.rows, [spec.shape for spec in whole.schema]) == (10, [(-1, 2), (-1,)])
    parts = [_loaded(DataLoader(part), "loader", "training") for part in (first, second)]
    assert [part.rows for part in parts] == [6, 4]
    assert len({whole.fingerprint, *(part.fingerprint for part in parts)}) == 3
    other = _loaded(DataLoader([1, 2, 3]), "loader", "training")
    assert (other.rows, other.schema, other.source) == (3, [], "builtins.list")


def test_loaders_are_inputs_by_their_names(watched):
    rows = torch.randn(12, 2)
    train_loader = DataLoader(TensorDataset(rows[:8], rows[:8, :1]), batch_size=4)
    other = DataLoader(TensorDataset(rows[8:], rows[8:, :1]), batch_size=4)
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watched(TrainingLoopObserver(), DatasetObserver()) as recorded:
        for _ in range(3):
            for batch, target in train_loader:
                optimizer.zero_grad()
                functional.mse_loss(model(batch), target).backward()
                optimizer.step()
            with torch.no_grad():
                for batch, target in other:
                    functional.mse_loss(model(batch), target)
    assert shown(recorded) == {("train_loader", "training", 8), ("other", "validation", 4)}
    assert len(recorded.values("val_loss")) == 3


@pytest.fixture
def main(monkeypatch):
    """The script's own names, as `__main__` holds them."""
    names = {}
    module = type(sys)("__main__")
    module.__dict__.update(names)
    monkeypatch.setitem(sys.modules, "__main__", module)
    return module.__dict__


def test_loaders_in_a_dictionary_are_called_by_their_keys(watched):
    loaders = {part: DataLoader(TensorDataset(torch.randn(n, 2))) for part, n in (("train", 12), ("val", 6))}
    with watched(TrainingLoopObserver(), DatasetObserver()) as recorded:
        model = nn.Linear(2, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for phase in ("train", "val"):
            for (batch,) in loaders[phase]:
                loss = model(batch).square().mean()
                if phase == "train":
                    loss.backward()
                    optimizer.step()
    assert shown(recorded) == {("train", "training", 12), ("val", "validation", 6)}


def test_a_forgotten_scaler_is_told_once_with_the_line_to_write(watched, main):
    main["df"] = df = table()
    with watched(TrainingLoopObserver(), ScalerAdvice()) as recorded:
        main["scaler"] = scaler = sklearn.preprocessing.StandardScaler()
        rows = scaler.fit_transform(df[["a", "b"]].to_numpy())
        main["net"] = train(rows, df["label"].to_numpy())
    (warning,) = recorded.warnings
    assert "StandardScaler was fitted, but the model is kept without it" in warning
    line = (
        "  tabstudio.log_model(net, preprocessor=scaler, columns=list(df.columns.drop('label')), "
        "classes=[0, 1], target='label')"
    )
    assert recorded.told[1] == line


def test_names_that_the_scaler_knows_are_not_asked_for(watched, main):
    frame = table()
    with watched(TrainingLoopObserver(), ScalerAdvice()) as recorded:
        main["s"] = sklearn.preprocessing.MinMaxScaler().fit(frame[["a", "b"]])
        main["le"] = sklearn.preprocessing.LabelEncoder().fit(["x", "y"])
        train(main["s"].transform(frame[["a", "b"]]), frame["label"])
    assert recorded.told[1] == "  tabstudio.log_model(model, preprocessor=s, classes=le)"


def test_nothing_is_told_where_the_preprocessing_was_kept(watched, main):
    frame = table()
    advice = ScalerAdvice()
    with watched(TrainingLoopObserver(), advice) as recorded:
        scaler = sklearn.preprocessing.MinMaxScaler().fit(frame[["a", "b"]])
        model = train(scaler.transform(frame[["a", "b"]]), frame["label"])
        advice._session.tell("model_logged", model, scaler, False)
    assert recorded.warnings == []


def test_everything_is_put_back(watched):
    scaler, split = sklearn.preprocessing.StandardScaler, sklearn.model_selection.train_test_split
    before = dict(vars(scaler))
    with watched(DatasetObserver(), ScalerAdvice()):
        assert sklearn.model_selection.train_test_split is not split
    assert sklearn.model_selection.train_test_split is split
    assert dict(vars(scaler)) == before
