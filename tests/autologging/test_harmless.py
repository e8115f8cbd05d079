"""What watching must never do: keep memory, stay when it is told to go, raise, or swallow an error."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - as everybody calls it
from torch import nn

from tabstudio.autologging.epochs.fast_path import FastPath
from tabstudio.autologging.instrument.loss_functions import LossFunctions
from tabstudio.autologging.instrument.watched_loop import WatchedLoop
from tabstudio.autologging.observers.training_loop import TrainingLoopObserver

from .loops import data


def steps(count, each=id):
    x, y, _, _ = data()
    model, criterion = nn.Linear(5, 1), nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(count):
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        each(loss)


def test_no_tensor_of_ten_thousand_steps_is_kept(watched):
    kept: list[weakref.ref] = []
    with watched():
        steps(10_000, lambda loss: kept.append(weakref.ref(loss)))
        gc.collect()
        tensors = sum(type(each) is torch.Tensor for each in gc.get_objects())
        steps(2_000)
        gc.collect()
        assert sum(type(each) is torch.Tensor for each in gc.get_objects()) <= tensors + 8
    assert sum(reference() is not None for reference in kept) == 0


def test_everything_that_was_patched_is_put_back(watched):
    from torch.optim import optimizer as module
    from torch.utils.data import DataLoader, dataloader

    def patched():
        return (
            F.cross_entropy,
            torch.autograd.backward,
            torch.autograd.grad,
            torch.Tensor.item,
            torch.Tensor.__float__,
            torch.jit.script,
            nn.Module.__reduce_ex__,
            torch.amp.GradScaler.scale,
            torch.optim.Optimizer.__init__,
            DataLoader.__iter__,
            dataloader._BaseDataLoaderIter.__next__,
            len(module._global_optimizer_pre_hooks),
            len(module._global_optimizer_post_hooks),
        )

    before = patched()
    with watched():
        assert all(now is not then for now, then in zip(patched(), before, strict=True))
        steps(2)
    assert patched() == before


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_a_watched_model_can_be_saved_copied_and_scripted(watched, tmp_path):
    x, y, _, _ = data()
    model = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 1))
    plain = pickle.dumps(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with watched() as recorded:
        for _epoch in range(3):
            optimizer.zero_grad()
            F.mse_loss(model(x), y).backward()
            optimizer.step()
            optimizer.zero_grad()
            assert pickle.dumps(model) == plain
            torch.save(model, tmp_path / "model.pt")
            assert torch.equal(copy.deepcopy(model)(x), model(x))
        again = torch.load(tmp_path / "model.pt", weights_only=False)
        scripted, traced = torch.jit.script(model), torch.jit.trace(model, x[:3])
        assert model._forward_pre_hooks
    assert not again._forward_pre_hooks
    for other in (again, scripted, traced):
        assert torch.equal(other(x), model(x))
    assert recorded.warnings == []
    assert len(recorded.values("train_loss")) == 3


def test_a_fault_of_ours_is_told_once_and_the_training_goes_on(watched, monkeypatch):
    def fault(*_):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(TrainingLoopObserver, "_train_on", fault)
    losses: list[float] = []
    with watched() as recorded:
        steps(5, lambda loss: losses.append(loss.item()))
    assert len(losses) == 5
    (warning,) = recorded.warnings
    assert "a fault of ours" in warning


def test_an_error_of_the_users_reaches_the_user(watched):
    with watched(), pytest.raises(ValueError, match="batch_size"):
        F.cross_entropy(torch.zeros(2, 3), torch.zeros(5).long())
    with watched(), pytest.raises(RuntimeError, match="grad"):
        torch.zeros(()).backward()


@pytest.mark.filterwarnings("ignore:.*jit.script:DeprecationWarning")
def test_torchscript_and_transforms_of_functions_are_left_alone(watched):
    from torch.func import grad, vmap

    def loss(weight, x, y):
        return F.mse_loss(x @ weight, y)

    with watched() as recorded:

        @torch.jit.script
        def scripted(x, y):
            return torch.nn.functional.mse_loss(x, y)

        assert scripted(torch.ones(2), torch.zeros(2)) == 1.0
        gradients = vmap(grad(loss), in_dims=(None, 0, 0))(torch.ones(3), torch.ones(4, 3), torch.zeros(4))
    assert gradients.shape == (4, 3)
    assert recorded.warnings == []
    assert recorded.runs == []


def test_backward_passes_that_train_nothing_are_no_training(watched):
    """An adversarial attack asks for the gradient of the input; nothing changes."""
    with watched() as recorded:
        model = nn.Linear(5, 2)
        for _ in range(4):
            x = torch.randn(3, 5, requires_grad=True)
            F.cross_entropy(model(x), torch.zeros(3).long()).backward()
            assert x.grad is not None
    assert recorded.runs == []


def test_what_was_imported_by_name_is_seen_too(watched, monkeypatch):
    from . import loops

    monkeypatch.setattr(loops, "mse_loss", F.mse_loss, raising=False)
    watching = LossFunctions(lambda *_: None, FastPath(WatchedLoop()))
    watching.install(torch, lambda function: function)
    assert loops.mse_loss is F.mse_loss
    watching.remove()
    assert loops.mse_loss.__module__ == "torch.nn.functional"
    assert not hasattr(loops.mse_loss, "__wrapped__")


@pytest.mark.filterwarnings("ignore")
def test_a_compiled_model_trains_to_the_same_bits(watched):
    def train():
        torch.manual_seed(0)
        x, y, xv, yv = data()
        model = torch.compile(nn.Linear(5, 1), backend="aot_eager")
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        told = {"train_loss": [], "val_loss": []}
        for _epoch in range(3):
            model.train()
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()
            model.eval()
            with torch.no_grad():
                told["val_loss"].append(F.mse_loss(model(xv), yv).item())
            told["train_loss"].append(loss.item())
        return told

    plain = train()
    with watched() as recorded:
        assert train() == plain
    assert recorded.warnings == []
    for name, values in plain.items():
        assert recorded.values(name) == pytest.approx(values)
    assert recorded.runs[0].params["model"] == "Linear"
