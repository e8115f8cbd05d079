"""The best and the last model of a training, kept as MLflow's PyTorch flavour keeps them."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from safetensors.torch import load
from torch import nn
from torch.nn import functional

from tabstudio.autologging.observers.model_checkpoints import CheckpointObserver
from tabstudio.autologging.observers.training_loop import TrainingLoopObserver

ROWS = torch.randn(12, 4, generator=torch.Generator().manual_seed(3))
TARGETS = ROWS.sum(1, keepdim=True)


class Network(nn.Module):
    def __init__(self, out: int = 1) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 5)
        self.norm = nn.BatchNorm1d(5)
        self.drop = nn.Dropout(0.4)
        self.last = nn.Linear(5, out)

    def forward(self, x, scale=None):
        x = self.last(self.drop(torch.relu(self.norm(self.inner(x)))))
        return x if scale is None else x * scale


class Deciding(Network):
    def forward(self, x, scale=None):
        return super().forward(x) if float(x.sum()) > 1e9 else super().forward(-x)


def train(model, losses=(3.0, 1.0, 2.0), rows=ROWS, call=lambda model, x: model(x)):
    """Train with made-up validation losses; the weights of each epoch."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    states = []
    for loss in losses:
        model.train()
        optimizer.zero_grad()
        functional.mse_loss(call(model, rows), TARGETS[: len(rows)]).backward()
        optimizer.step()
        model.eval()
        with torch.no_grad():
            call(model, rows)
            functional.mse_loss(torch.tensor([loss]), torch.tensor([0.0]))
        states.append(copy.deepcopy(model.state_dict()))
    return states


def exported(recorded, name):
    return torch.export.load(recorded.runs[0].models[name]["folder"] / "data" / "model.pt2").module()


def by_hand(state, kind=Network):
    model = kind()
    model.load_state_dict(state)
    return model.eval()


class TrainsItself(Network):
    def train(self, *rows):  # the name is the user's: `eval()` would call it
        if len(rows) == 1 and isinstance(rows[0], bool):
            raise TypeError("rows were expected")
        return train_layer(self)


def train_layer(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _epoch in range(3):
        optimizer.zero_grad()
        functional.mse_loss(model(ROWS), TARGETS).backward()
        optimizer.step()


def test_a_method_called_train_does_not_keep_a_model_from_being_kept(watched):
    with watched(TrainingLoopObserver(), CheckpointObserver()) as recorded:
        model = TrainsItself()
        model.train(ROWS, TARGETS)
    assert recorded.warnings == []
    expected = by_hand(model.state_dict())(ROWS)
    assert torch.equal(exported(recorded, "model")(ROWS), expected)


def test_best_and_last_predict_the_same_bits(watched):
    torch.manual_seed(0)
    model = Network()
    with watched(TrainingLoopObserver(), CheckpointObserver()) as recorded:
        states = train(model)
    models = recorded.runs[0].models
    assert set(models) == {"model", "model_last"}
    for name, state in (("model", states[1]), ("model_last", states[2])):
        for rows in (ROWS, ROWS[:1], ROWS[:7]):
            assert torch.equal(exported(recorded, name)(rows), by_hand(state)(rows))
    assert models["model"]["tags"] == {"tabstudio.weights": "best", "tabstudio.epoch": "2"}
    assert models["model"]["metrics"] == {"best_val_loss": 1.0}
    assert models["model_last"]["tags"] == {"tabstudio.weights": "last", "tabstudio.epoch": "3"}


def test_signature_and_example_come_from_the_training(watched):
    with watched(TrainingLoopObserver(), CheckpointObserver()) as recorded:
        train(Network())
    model = recorded.runs[0].models["model"]
    assert model["inputs"] == [{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 4]}}]
    assert model["outputs"] == [{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 1]}}]
    assert torch.equal(torch.tensor(model["example"]), ROWS[:8])
    assert model["network"] == str(torch.__version__)


def test_best_that_is_the_last_is_kept_once(watched):
    with watched(TrainingLoopObserver(), CheckpointObserver()) as recorded:
        train(Network(), losses=(3.0, 2.0))
    models = recorded.runs[0].models
    assert set(models) == {"model"}
    assert models["model"]["tags"]["tabstudio.weights"] == "best and last"


def test_without_validation_the_last_is_kept(watched):
    model = Network()
    with watched(TrainingLoopObserver(), CheckpointObserver()) as recorded:
        optimizer = torch.optim.Adam(model.parameters())
        for _ in range(3):
            optimizer.zero_grad()
            functional.mse_loss(model(ROWS), TARGETS).backward()
            optimizer.step()
    assert recorded.runs[0].models["model"]["tags"]["tabstudio.weights"] == "last"
    assert torch.equal(exported(recorded, "model")(ROWS), by_hand(model.state_dict())(ROWS))


def test_keywords_and_one_row_give_an_example_too(watched):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 1))
    with watched(TrainingLoopObserver(), CheckpointObserver()) as recorded:
        states = train(model, (1.0, 2.0), ROWS[:1])
    assert exported(recorded, "model")(ROWS).shape == (12, 1)
    assert len(recorded.runs[0].models["model"]["example"]) == 2
    del states
    torch.manual_seed(0)
    scale = torch.full((12, 1), 2.0)
    with watched(TrainingLoopObserver(), CheckpointObserver()) as recorded:
        states = train(Network(), (2.0, 1.0), call=lambda model, x: model(x, scale=scale))
    named = recorded.runs[-1].models["model"]
    assert [spec["name"] for spec in named["inputs"]] == ["x", "scale"]
    again = torch.export.load(named["folder"] / "data" / "model.pt2").module()
    assert torch.equal(again(ROWS, scale=scale), by_hand(states[1])(ROWS, scale=scale))


def test_registered_name_is_for_the_best_model(watched):
    with watched(
        TrainingLoopObserver(), CheckpointObserver(), registered_model_name="made-by-hand"
    ) as recorded:
        train(Network())
    models = recorded.runs[0].models
    assert models["model"]["registered_name"] == "made-by-hand"
    assert models["model_last"]["registered_name"] is None


def test_what_cannot_be_exported_says_why_and_is_kept_with_its_source(watched):
    model = Deciding()
    with watched(
        TrainingLoopObserver(), CheckpointObserver(), registered_model_name="made-by-hand"
    ) as recorded:
        train(model, losses=(2.0, 1.0))
    run = recorded.runs[0]
    assert run.models == {}
    weights = load(run.artifacts["model/weights.safetensors"])
    assert all(torch.equal(weights[name], tensor) for name, tensor in model.state_dict().items())
    source = run.artifacts["model/source.py"].decode()
    assert "class Deciding(Network)" in source
    assert "# Deciding(" in source
    (warning,) = recorded.warnings
    assert "model (Deciding) cannot be exported (" in warning
    assert "no version of made-by-hand is registered" in warning


@pytest.mark.parametrize("rows", [ROWS, ROWS[:1]])
def test_training_mode_weights_and_random_state_are_untouched(watched, rows):
    def once():
        torch.manual_seed(5)
        model = nn.Sequential(nn.Linear(4, 5), nn.Dropout(0.5), nn.Linear(5, 1))
        return train(model, (3.0, 1.0, 2.0), rows), model, torch.get_rng_state()

    plain = once()
    with watched(TrainingLoopObserver(), CheckpointObserver()):
        seen = once()
    assert torch.equal(plain[2], seen[2])
    for before, after in zip(plain[0], seen[0], strict=True):
        assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(not part._forward_pre_hooks for part in seen[1].modules())
    assert torch.equal(torch.get_rng_state(), plain[2])


def test_models_are_not_kept_where_they_are_not_wanted(watched):
    with watched(TrainingLoopObserver(), CheckpointObserver(), log_models=False) as recorded:
        train(Network())
    assert recorded.runs[0].models == {}


def test_two_models_of_one_training_have_names_of_their_own(watched):
    netG, netD = nn.Linear(4, 4), nn.Linear(4, 1)
    with watched(TrainingLoopObserver(), CheckpointObserver()) as recorded:
        optG = torch.optim.SGD(netG.parameters(), lr=0.01)
        optD = torch.optim.SGD(netD.parameters(), lr=0.01)
        for _ in range(3):
            for rows, targets in zip(ROWS.split(4), TARGETS.split(4), strict=True):
                optD.zero_grad()
                functional.mse_loss(netD(netG(rows).detach()), targets).backward()
                optD.step()
                optG.zero_grad()
                functional.mse_loss(netD(netG(rows)), targets).backward()
                optG.step()
    assert set(recorded.runs[0].models) == {"netG", "netD"}
    json.dumps([model["inputs"] for model in recorded.runs[0].models.values()])
