"""Regressions with little noise are trained longer, all others exactly as before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tabstudio.model.encoder import EncodedRows
from tabstudio.options import NetworkConfig, TrainingConfig
from tabstudio.table.schema import Target
from tabstudio.training import packing
from tabstudio.training import trainer as learning
from tabstudio.training.data import TrainingRows
from tabstudio.training.extended_training import longer
from tabstudio.training.plan import make_plan
from tabstudio.training.trainer import TrainingOutcome, train_members

ROWS = 240
FOLD = (np.arange(ROWS) % 3).astype(np.int16)
TARGET = Target("y", "regression")
NETWORK = NetworkConfig("tabular", (32, 32))
FIRST = 36
"""Epochs that a table of so many rows gets at first."""


def train(
    noise: float, config: TrainingConfig | None = None, network: NetworkConfig = NETWORK, **more: Any
) -> TrainingOutcome:
    rng = np.random.default_rng(0)
    numbers = rng.standard_normal((ROWS, 3)).astype(np.float32)
    labels = numbers[:, 0] * numbers[:, 1] + 2 * numbers[:, 2] + noise * rng.standard_normal(ROWS)
    inputs = EncodedRows(numbers, np.zeros((ROWS, 0), dtype=np.int64), {}, {})
    return train_members(
        TrainingRows(inputs, labels, FOLD, TARGET), network, config or TrainingConfig(), **more
    )


def test_with_little_noise_the_epochs_are_more_and_the_error_is_less() -> None:
    told: list[Any] = []
    long, short = train(0.0, on_plan=told.append), train(0.0, TrainingConfig(epochs=FIRST))
    assert long.decided["epochs"] == long.plan.epochs == len(long.history) >= 4 * FIRST
    assert "leaves more to learn" in long.plan.reasons["epochs"]
    assert "epochs: " + long.plan.reasons["epochs"] in [plan.reasons["budget"] for plan in told]
    assert long.decided["dropout"] == 0.0
    assert set(long.plan.dropout) == {0.0}
    best = [learned.history[-1].val_loss.mean() for learned in (long, short)]
    assert best[0] < 0.5 * best[1]


def test_the_epochs_that_were_found_make_the_same_model() -> None:
    found = train(0.0)
    again = train(
        0.0,
        TrainingConfig(epochs=found.decided["epochs"]),
        replace(NETWORK, dropout=found.decided["dropout"]),
    )
    assert again.decided == {}
    np.testing.assert_array_equal(again.out_of_fold, found.out_of_fold)


def test_with_noise_and_with_epochs_that_were_given_nothing_is_longer() -> None:
    noisy = train(2.0)
    assert (noisy.plan.epochs, noisy.decided) == (FIRST, {})
    given = train(0.0, TrainingConfig(epochs=FIRST))
    assert (given.plan.epochs, given.decided) == (FIRST, {})


def test_epochs_are_counted_on_and_those_of_the_first_training_are_not_the_models() -> None:
    seen: list[tuple[int, int]] = []
    learned = train(0.0, on_epoch=lambda epoch, plan: seen.append((epoch.number, plan.epochs)))
    assert [number for number, _ in seen] == list(range(1, len(seen) + 1))
    assert seen[0] == (1, FIRST)
    assert seen[FIRST] == (FIRST + 1, 5 * FIRST)
    assert [epoch.number for epoch in learned.history] == [
        number for number, _ in seen[-len(learned.history) :]
    ]


def test_rounds_in_packs_of_their_own_have_one_history(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "CACHE", 0)
    learned = train(0.0, TrainingConfig(members=6))
    assert len(learned.pack) == 6
    assert [epoch.number for epoch in learned.history[:2]] == [
        learned.history[0].number,
        learned.history[0].number + 1,
    ]
    assert all(epoch.active.all() for epoch in learned.history)
    assert sum(epoch.best.astype(int) for epoch in learned.history).all()


def test_where_it_did_not_pay_epochs_of_later_rounds_are_counted_from_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(packing, "CACHE", 0)
    errors = iter((0.2, 0.3))
    monkeypatch.setattr(learning._Part, "error", property(lambda _: next(errors)))
    seen: list[tuple[int, int]] = []
    learned = train(
        0.0, TrainingConfig(members=6), on_epoch=lambda epoch, plan: seen.append((plan.first, epoch.number))
    )
    assert learned.decided == {"epochs": FIRST}
    assert [number for first, number in seen if first] == list(range(1, FIRST + 1))
    assert all(epoch.active.all() for epoch in learned.history)


def test_seconds_are_counted_on_like_epochs() -> None:
    seconds: list[float] = []
    train(0.0, on_epoch=lambda epoch, _: seconds.append(epoch.seconds))
    assert seconds == sorted(seconds)


def test_ctrl_c_in_the_longer_training_keeps_what_is_better() -> None:
    def cut(epoch: Any, _plan: Any) -> None:
        if epoch.number == FIRST + 2:
            raise KeyboardInterrupt

    learned = train(0.0, on_epoch=cut)
    assert learned.stopped == "interrupted"
    assert (learned.plan.epochs, len(learned.history)) == (FIRST, FIRST)
    np.testing.assert_array_equal(learned.out_of_fold, train(0.0, TrainingConfig(epochs=FIRST)).out_of_fold)


def test_a_longer_training_that_was_cut_off_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    class Cut(Exception):  # noqa: N818
        pass

    def cut(epoch: Any, _plan: Any) -> None:
        if epoch.number == FIRST + 20:
            raise Cut

    with pytest.raises(Cut):
        train(0.0, on_epoch=cut, checkpoint=tmp_path)
    resumed = train(0.0, checkpoint=tmp_path, resume=True)
    np.testing.assert_array_equal(resumed.out_of_fold, train(0.0).out_of_fold)


def test_minutes_leave_room_for_it() -> None:
    learned = train(0.0, TrainingConfig(minutes=0.2))
    decided = learned.decided
    assert decided["epochs"] >= 2 * FIRST
    given = TrainingConfig(epochs=decided["epochs"], members=len(learned.pack))
    again = train(0.0, given, replace(NETWORK, dropout=decided.get("dropout")))
    np.testing.assert_array_equal(again.out_of_fold, learned.out_of_fold)


def test_dropout_that_was_given_stays() -> None:
    learned = train(0.0, network=replace(NETWORK, dropout=0.05))
    assert set(learned.decided) == {"epochs"}
    assert set(learned.plan.dropout) == {0.05}


@pytest.mark.parametrize(
    ("errors", "fitting", "options"),
    [
        ([0.2], 1e9, {"epochs": 4 * FIRST}),
        ([0.09], 1e9, {"epochs": 4 * FIRST, "dropout": 0.0}),
        ([0.4], 1e9, {}),
        ([0.22, 0.2], 1e9, {}),
        ([0.3, 0.2], 1e9, {"epochs": 2 * FIRST}),
        ([0.3, 0.2, 0.1], 1e9, {}),
        ([0.2], 100.9, {"epochs": 100}),
        ([0.2], 70, {}),
        ([np.nan], 1e9, {}),
    ],
)
def test_when_it_pays(errors: list[float], fitting: float, options: dict[str, Any]) -> None:
    inputs = EncodedRows(np.zeros((ROWS, 1), dtype=np.float32), np.zeros((ROWS, 0), dtype=np.int64), {}, {})
    plan = make_plan(TrainingConfig(), NETWORK, "regression", rows=ROWS, folds=3)
    data = TrainingRows(inputs, np.arange(ROWS) / ROWS, FOLD, TARGET, ()).data(plan)
    assert longer(plan, data, errors, fitting) == options
    assert longer(replace(plan, schedule="constant"), data, errors, fitting) == {}
