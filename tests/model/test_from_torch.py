"""A hand-trained network and its preprocessing, as one bundle: raw rows in, the same answers out, no code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import LabelEncoder, MinMaxScaler, OneHotEncoder, StandardScaler
from torch import nn
from torch.nn import functional

from tabstudio.errors import InputError, ModelError
from tabstudio.model import predictor
from tabstudio.model.from_torch import model_from_torch
from tabstudio.model.graph_network import Graph

WIDTH = 6


class Gated(nn.Module):
    """Functions, methods, a buffer, a size taken from the rows, an in-place call, a weight used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(WIDTH, WIDTH)
        self.last = nn.Linear(WIDTH, 1)
        self.register_buffer("scale", torch.full((WIDTH,), 0.5))

    def forward(self, x):
        gate = torch.sigmoid(self.inner(x)) * self.scale
        x = functional.relu(self.inner(x * gate), inplace=True)
        x = functional.dropout(x, 0.5, self.training).view(x.size(0), -1)
        return self.last(x.masked_fill(x > 100, float("inf")).clamp(max=50))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.LSTM(2, 5, batch_first=True)
        self.last = nn.Linear(5, 1)

    def forward(self, x):
        out, _ = self.cells(x.reshape(len(x), -1, 2))
        return self.last(out[:, -1]).squeeze(-1)


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(1, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.last = nn.Linear(8, 1)

    def forward(self, x):
        return self.last(self.layer(self.enter(x.unsqueeze(-1))).mean(1))


class Convolving(nn.Sequential):
    def __init__(self) -> None:
        conv = nn.Sequential(nn.Conv1d(1, 4, 3), nn.BatchNorm1d(4), nn.GELU(), nn.AdaptiveAvgPool1d(1))
        super().__init__(nn.Unflatten(1, (1, WIDTH)), conv, nn.Flatten(), nn.Linear(4, 1))


class Plain(nn.Sequential):
    def __init__(self, outputs: int = 1, *end: nn.Module) -> None:
        middle = (nn.LayerNorm(8), nn.SiLU(), nn.Dropout(0.3), nn.Linear(8, outputs))
        super().__init__(nn.Linear(WIDTH, 8), *middle, *end)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    return pd.DataFrame(rng.normal(10, 3, (150, WIDTH)), columns=list("abcdef"))


@pytest.fixture(scope="module")
def scaler(rows) -> StandardScaler:
    return StandardScaler().fit(rows)


def by_hand(module: nn.Module, scaler, rows: pd.DataFrame) -> torch.Tensor:
    with torch.no_grad():
        return module.eval()(torch.tensor(scaler.transform(rows), dtype=torch.float32))


def again(model, tmp_path: Path):
    return predictor.load(model.save(tmp_path / "model"))


@pytest.mark.parametrize("kind", [Gated, Recurrent, Attending, Convolving, Plain])
def test_any_module_predicts_from_raw_rows_what_it_predicts_by_hand(kind, rows, scaler, tmp_path):
    torch.manual_seed(1)
    module = kind().train()
    model = again(model_from_torch(module, preprocessor=scaler, classes=["no", "yes"], rows=rows), tmp_path)
    assert module.training
    second = torch.sigmoid(by_hand(module, scaler, rows)).reshape(-1).numpy()
    np.testing.assert_allclose(model.predict_proba(rows)[:, 1], second, atol=1e-6)
    assert model.predict(rows).tolist() == np.where(second >= 0.5, "yes", "no").tolist()
    assert model.profile["rows"] == len(rows)


@pytest.mark.parametrize(
    ("end", "classes"),
    [
        ((2,), ["no", "yes"]),
        ((2, nn.Softmax(1)), ["no", "yes"]),
        ((2, nn.LogSoftmax(1)), ["no", "yes"]),
        ((3,), [7, 8, 9]),
        ((3, nn.Softmax(dim=-1)), [7, 8, 9]),
        ((1, nn.Sigmoid()), [False, True]),
        ((1, nn.Sigmoid(), nn.Flatten(0)), [False, True]),
    ],
)
def test_logits_and_probabilities_of_any_shape_become_probabilities(end, classes, rows, scaler, tmp_path):
    module = Plain(*end)
    answer = by_hand(module, scaler, rows)
    given = len(end) > 1 and isinstance(end[1], nn.Softmax | nn.Sigmoid)
    expected = (answer if given else torch.softmax(answer, 1)).numpy()
    if end[0] == 1:
        expected = np.stack([1 - expected.reshape(-1), expected.reshape(-1)], axis=1)
    model = again(model_from_torch(module, preprocessor=scaler, classes=classes), tmp_path)
    np.testing.assert_allclose(model.predict_proba(rows), expected, atol=1e-6)
    assert model.predict(rows).tolist() == [classes[place] for place in expected.argmax(1)]


def test_without_classes_it_is_a_regression(rows, scaler, tmp_path):
    module = Plain()
    model = again(model_from_torch(module, preprocessor=scaler, target="price"), tmp_path)
    assert (model.target.task, model.target.name) == ("regression", "price")
    np.testing.assert_allclose(model.predict(rows), by_hand(module, scaler, rows).reshape(-1), rtol=1e-5)


def test_mixed_table_with_label_encoder(tmp_path):
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"size": rng.normal(size=90), "city": rng.choice(["Rome", "Oslo"], 90)})
    frame.loc[::5, "size"] = np.nan
    labels = LabelEncoder().fit(["red", "green", "blue"])
    numbers = make_pipeline(SimpleImputer(), MinMaxScaler())
    transformer = ColumnTransformer(
        [("numbers", numbers, ["size"]), ("levels", OneHotEncoder(handle_unknown="ignore"), ["city"])]
    ).fit(frame)
    module = nn.Linear(3, 3)
    model = again(model_from_torch(module, preprocessor=transformer, classes=labels, rows=frame), tmp_path)
    new = frame.assign(city="Lima").head()
    expected = torch.softmax(by_hand(module, transformer, new), 1)
    np.testing.assert_allclose(model.predict_proba(new), expected, atol=1e-6)
    assert set(model.predict(frame)) <= {"red", "green", "blue"}
    assert model.unseen == {"city": 5}


def test_without_preprocessor_the_columns_go_in_as_they_are(rows, tmp_path):
    module = Plain()
    model = again(model_from_torch(module, columns=list(rows)), tmp_path)
    with torch.no_grad():
        expected = module.eval()(torch.tensor(rows.to_numpy(), dtype=torch.float32)).reshape(-1)
    np.testing.assert_allclose(model.predict(rows.to_numpy()), expected, rtol=1e-5)


def test_gap_is_refused_unless_the_network_has_an_answer(rows, scaler, tmp_path):
    gap = rows.head(3).copy()
    gap.loc[1, "b"] = np.nan
    with pytest.raises(InputError, match="none is in 'b' of row 2"):
        model_from_torch(Plain(), preprocessor=scaler).predict(gap)

    class Filling(Plain):
        def forward(self, x):
            return super().forward(torch.nan_to_num(x))

    model = again(model_from_torch(Filling(), preprocessor=scaler), tmp_path)
    assert np.isfinite(model.predict(gap)).all()


def test_nothing_handed_over_is_changed(rows, scaler):
    module = nn.Sequential(nn.Linear(WIDTH, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1)).train()
    weights = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    torch.manual_seed(9)
    state = torch.get_rng_state()
    model_from_torch(module, preprocessor=scaler, classes=[0, 1])
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(weights[name], tensor) for name, tensor in module.state_dict().items())
    assert all(part.training for part in module.modules())
    assert all(parameter.requires_grad for parameter in module.parameters())


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(WIDTH, 1)

    def forward(self, x):
        return self.last(x) if x.sum() > 0 else self.last(-x)


class Noisy(Branching):
    def forward(self, x):
        return self.last(x + torch.randn_like(x))


class Double(Branching):
    def forward(self, x):
        return self.last(x), x


class Frozen(Branching):
    def forward(self, x):
        return self.last(x.reshape(x.numpy().shape[0] if not torch.compiler.is_compiling() else 7, -1))


class Searching(Branching):
    def forward(self, x):
        return self.last(x) + torch.linalg.svdvals(x.unsqueeze(-1)).mean()


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        (Branching, {}, "kept as a graph of operators: its path through the code depends on the values"),
        (Noisy, {}, "aten.randn_like.default, which is not among the operators"),
        (Searching, {}, "linalg_svdvals.*mlflow.pytorch.log_model"),
        (Frozen, {}, "it works for 7 rows only"),
        (Double, {}, "one tensor was expected, this one gives tuple"),
        (
            lambda: nn.Linear(4, 1),
            {},
            "does not take what the preprocessing gives, float32 rows of 6 columns",
        ),
        (
            lambda: nn.Linear(WIDTH, 3),
            {},
            r"\(rows, 6\) to \(rows, 1\) was expected, this one gives \(7, 3\)",
        ),
        (nn.Identity, {}, "with parameters was expected"),
        (Plain, {"classes": ["a"]}, "two labels or more"),
        (Plain, {"classes": ["a", "b"], "positive": "a"}, "second of the classes"),
        (Plain, {"classes": ["a", "b"], "answers": "odds"}, "logits, probabilities, values was expected"),
        (Plain, {"classes": ["a", "b"], "answers": "probabilities"}, "others than 0 to 1"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_the_way_out(scaler, module, options, message):
    torch.manual_seed(0)
    with pytest.raises(ModelError, match=message):
        model_from_torch(module(), preprocessor=scaler, **options)


@pytest.mark.parametrize(
    "name",
    [
        "aten.from_file.default",
        "aten.set_.source_Storage",
        "os.system",
        "operator.attrgetter",
        "aten.relu.evil",
    ],
)
def test_a_graph_that_names_anything_else_is_refused_on_loading(name):
    graph = {"nodes": [{"name": "y", "do": name, "args": [{"node": "x"}]}], "input": "x", "width": 1}
    with pytest.raises(ModelError, match=f"the network calls {name}"):
        Graph({**graph, "output": {"node": "y"}, "answers": "values"}, {"w": torch.zeros(1)}, 1)


def test_bundle_holds_data_only_and_loads_without_scikit_learn(rows, scaler, tmp_path):
    folder = model_from_torch(Plain(), preprocessor=scaler, classes=["no", "yes"]).save(tmp_path / "model")
    assert {path.suffix for path in folder.iterdir()} == {".json", ".safetensors"}
    for path in folder.glob("*.json"):
        json.loads(path.read_text())
    code = (
        "import sys, tabstudio; sys.modules['sklearn'] = None;"
        f"print(tabstudio.load({str(folder)!r}).predict({{c: [1.0] for c in 'abcdef'}}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ("['no']", "['yes']")
