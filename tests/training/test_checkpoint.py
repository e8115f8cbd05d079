"""A training that is cut off goes on to the same bits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tabstudio.errors import TrainingError
from tabstudio.model.encoder import EncodedRows
from tabstudio.options import NetworkConfig, TrainingConfig
from tabstudio.table.schema import Target
from tabstudio.training import checkpoint as checkpoints
from tabstudio.training.data import TrainingRows
from tabstudio.training.trainer import Factory, TrainingOutcome, train_members

CONFIG = TrainingConfig(epochs=6, batch_size=32, seed=5)
TABULAR = NetworkConfig("tabular", (16, 16), 0.2)


def train(network: NetworkConfig | Factory, folder: Path | None = None, **options: object) -> TrainingOutcome:
    rng = np.random.default_rng(2)
    inputs = EncodedRows(
        rng.standard_normal((90, 4)).astype(np.float32),
        rng.integers(0, 12, (90, 1)),
        {},
        {},
    )
    config = options.pop("config", CONFIG)
    labels = (inputs.numbers[:, 0] > 0).astype(np.int64)
    fold = (np.arange(90) % 3).astype(np.int16)
    target = Target("y", "binary", ("a", "b"), "b")
    return train_members(
        TrainingRows(inputs, labels, fold, target, (12,)), network, config, checkpoint=folder, **options
    )


class Normed(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(inputs, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, outputs)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


class Cut(Exception):  # noqa: N818
    pass


def assert_same_bits(a: TrainingOutcome, b: TrainingOutcome) -> None:
    for name, tensor in a.pack.tensors().items():
        assert torch.equal(tensor, b.pack.tensors()[name]), name
    np.testing.assert_array_equal(a.out_of_fold, b.out_of_fold)
    np.testing.assert_array_equal([e.val_loss for e in a.history], [e.val_loss for e in b.history])


@pytest.mark.parametrize("network", [TABULAR, NetworkConfig("mlp", (8,), 0.2), Normed])
@pytest.mark.parametrize("patience", [0, 4])
def test_a_training_cut_off_goes_on_to_the_same_bits(
    network: NetworkConfig | Factory, patience: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS", 0.0)
    config = replace(CONFIG, patience=patience)

    def cut(epoch: object, plan: object) -> None:
        if epoch.number == 3:  # type: ignore[attr-defined]
            raise Cut

    with pytest.raises(Cut):
        train(network, tmp_path, config=config, on_epoch=cut)
    epochs: list[int] = []
    resumed = train(
        network, tmp_path, config=config, resume=True, on_epoch=lambda epoch, _: epochs.append(epoch.number)
    )
    assert epochs == [4, 5, 6]
    assert_same_bits(resumed, train(network, config=config))


def test_a_process_that_is_killed_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "import test_checkpoint as t\n"
        "t.checkpoints.SECONDS = 0.0\n"
        "from pathlib import Path\n"
        "def kill(epoch, plan):\n"
        "    if epoch.number == 4: os.kill(os.getpid(), signal.SIGKILL)\n"
        "t.train(t.TABULAR, Path(sys.argv[2]), on_epoch=kill)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path)], env=os.environ.copy()
    )
    assert done.returncode == -signal.SIGKILL
    resumed = train(TABULAR, tmp_path, resume=True)
    assert len(resumed.history) == 6
    assert_same_bits(resumed, train(TABULAR))


def test_a_finished_training_is_taken_from_its_checkpoint(tmp_path: Path) -> None:
    first = train(TABULAR, tmp_path)
    again = train(TABULAR, tmp_path, resume=True, on_epoch=lambda *_: pytest.fail("it trained again"))
    assert_same_bits(first, again)


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    train(TABULAR, tmp_path)
    for other in (replace(CONFIG, seed=6), replace(CONFIG, learning_rate=0.5)):
        with pytest.raises(TrainingError, match="of other rows or of another configuration"):
            train(TABULAR, tmp_path, resume=True, config=other)


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    train(TABULAR, tmp_path)
    file = tmp_path / checkpoints.FILE
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(TrainingError, match=r"training\.safetensors: this checkpoint is damaged"):
        train(TABULAR, tmp_path, resume=True)


def test_a_full_disk_leaves_the_checkpoint_before_and_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(TABULAR, tmp_path)
    before = (tmp_path / checkpoints.FILE).read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(TrainingError, match="No space left on device"):
        train(TABULAR, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [checkpoints.FILE]
    assert (tmp_path / checkpoints.FILE).read_bytes() == before
