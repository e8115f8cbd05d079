"""Every loop here: its metrics are what it prints, and it trains to the same bits as unwatched."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from . import loops, loops_public

LOSSES = ("train_", "val_", "test_")


def bits(loop):
    """Run a loop from the same seeds; what it told, and the state of all random numbers after it."""
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - the global state is what must not change
    told = loop()
    return told, torch.random.get_rng_state(), random.getstate(), np.random.get_state()  # noqa: NPY002


@pytest.mark.parametrize("loop", [*loops.LOOPS, *loops_public.LOOPS], ids=lambda loop: loop.__name__)
def test_the_metrics_are_what_the_loop_prints_and_nothing_changes(loop, watched):
    plain = bits(loop)
    with watched() as recorded:
        seen = bits(loop)
    assert recorded.warnings == []
    told = seen[0]
    assert told == plain[0]
    assert torch.equal(seen[1], plain[1])
    assert seen[2] == plain[2]
    assert all(np.array_equal(a, b) for a, b in zip(seen[3], plain[3], strict=True))
    for name, values in told.items():
        got = [value for run in recorded.runs for _, value in run.metrics.get(name, [])]
        assert got == pytest.approx(values, rel=1e-6), name
    losses = {name for run in recorded.runs for name in run.metrics if name.startswith(LOSSES)}
    steps = {f"{name}_step" for name in told}
    assert losses - steps <= set(told)


@pytest.mark.parametrize(
    ("loop", "rows", "batch_size"),
    [
        (loops.full_batch, "100", "100"),
        (loops.two_functions, "100", "32"),
        (loops.in_a_class, "100", "50"),
        (loops.criterion_made_anew, "100", "20"),
        (loops.two_networks, "100", "25"),  # three losses go over the same rows
        (loops.language_model, None, None),  # ten words of four texts: nobody can tell which are the rows
    ],
)
def test_rows_and_batch_size_are_parameters(loop, rows, batch_size, watched):
    with watched() as recorded:
        loop()
    (run,) = recorded.runs
    assert (run.params.get("rows"), run.params.get("batch_size")) == (rows, batch_size)


def test_a_scheduler_is_told_by_its_settings_not_by_its_state(watched):
    with watched() as recorded:
        loops.best_model_is_tested()
    scheduler = {n: v for n, v in recorded.runs[0].params.items() if n.startswith("scheduler")}
    assert scheduler["scheduler"] == "ReduceLROnPlateau"
    assert scheduler["scheduler.patience"] == "1"
    assert "scheduler.best" not in scheduler


def test_steps_without_epochs_have_no_number_of_epochs(watched):
    with watched() as recorded:
        loops.by_steps()
    assert "epochs" not in recorded.runs[0].params
    assert recorded.runs[0].params["batch_size"] == "16"


def test_the_model_of_a_loop_without_an_optimizer_is_found(watched):
    net = torch.nn.Linear(5, 1)

    def loop():
        x, y, _, _ = loops.data()
        for _epoch in range(3):
            net.zero_grad()
            torch.nn.functional.mse_loss(net(x), y).backward()
            with torch.no_grad():
                for parameter in net.parameters():
                    parameter -= 0.1 * parameter.grad

    with watched() as recorded:
        loop()
    assert len(recorded.values("train_loss")) == 3
    assert recorded.runs[0].params["model"] == "Linear"


def test_a_loss_that_a_function_computes_is_not_told_once_more_by_its_name(watched, monkeypatch):
    from tabstudio.autologging.observers.training_loop import TrainingLoopObserver

    told: list[str] = []
    evaluate = TrainingLoopObserver._evaluate
    monkeypatch.setattr(
        TrainingLoopObserver, "_evaluate", lambda self, *args: (told.append(args[2]), evaluate(self, *args))
    )
    with watched() as recorded:
        loops.full_batch()
    assert told == ["BCEWithLogitsLoss#0"] * 5
    assert len(recorded.values("val_loss")) == 5


def test_the_first_learning_rates_are_those_of_their_epochs(watched):
    with watched() as recorded:
        rates = loops_public.rates_that_fall_from_the_first_epoch()
    assert recorded.values("learning_rate") == pytest.approx(rates)
    assert recorded.steps("learning_rate") == [1, 2, 3, 4, 5]


def test_sparse_gradients_have_no_norm_and_break_nothing(watched):
    words, targets = torch.randint(0, 9, (20, 4)), torch.zeros(20, 3)

    def loop():
        model = torch.nn.EmbeddingBag(9, 3, sparse=True)
        optimizer = torch.optim.SparseAdam(model.parameters(), lr=0.1)
        for _epoch in range(3):
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(model(words), targets).backward()
            optimizer.step()

    with watched() as recorded:
        loop()
    assert recorded.warnings == []
    assert len(recorded.values("train_loss")) == 3
    assert "grad_norm" not in recorded.runs[0].metrics


class _Alone(torch.nn.Linear):
    """A layer that trains itself, in a method of its own."""

    def fit(self, x):
        optimizer = torch.optim.Adam(self.parameters(), lr=0.03)
        for _epoch in range(3):
            optimizer.zero_grad()
            self(x).square().mean().backward()
            optimizer.step()


def test_a_model_that_trains_itself_is_not_called_self(watched):
    layer = _Alone(4, 2)
    with watched() as recorded:
        other = torch.optim.Adam(_Alone(4, 2).parameters())  # so that names are needed
        layer.fit(torch.ones(3, 4))
        del other
    assert recorded.runs[0].params["layer"] == "_Alone"
    assert not any(name.startswith("self") for name in recorded.runs[0].params)
