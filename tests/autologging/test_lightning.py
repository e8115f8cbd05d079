"""Lightning and Accelerate, `torch.compile`, several processes: nothing twice, nothing wrong."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap

import pytest
import torch
from torch import nn

from tabstudio.autologging.observers.lightning import LightningObserver
from tabstudio.autologging.observers.training_loop import TrainingLoopObserver

from .conftest import read_run
from .loops import data


@pytest.mark.filterwarnings("ignore")
def test_lightning_is_recorded_once_per_epoch_as_it_measures(watched, monkeypatch):
    lightning = pytest.importorskip("lightning.pytorch")
    from torch.utils.data import DataLoader, TensorDataset

    x, y, xv, yv = data()

    class Net(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(5, 1)

        def training_step(self, batch, _):
            loss = nn.functional.mse_loss(self.layer(batch[0]), batch[1])
            self.log("train_loss", loss, on_epoch=True, on_step=False)
            return loss

        def validation_step(self, batch, _):
            self.log("val_loss", nn.functional.mse_loss(self.layer(batch[0]), batch[1]))

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    with watched(LightningObserver(), TrainingLoopObserver()) as recorded:
        trainer = lightning.Trainer(
            max_epochs=3,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(
            Net(),
            DataLoader(TensorDataset(x, y), batch_size=50),
            DataLoader(TensorDataset(xv, yv), batch_size=30),
        )
    (run,) = recorded.runs
    assert recorded.warnings == []
    assert recorded.steps("train_loss") == recorded.steps("val_loss") == [1, 2, 3]
    assert run.params["optimizer"] == "SGD"
    assert "train_loss_step" not in run.metrics


def test_accelerate_is_a_loop_as_any_other(watched):
    accelerate = pytest.importorskip("accelerate")
    from torch.utils.data import DataLoader, TensorDataset

    x, y, xv, yv = data()
    told = {"train_loss": [], "val_loss": []}
    with watched() as recorded:
        accelerator = accelerate.Accelerator(cpu=True)
        model = nn.Linear(5, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        model, optimizer, loader = accelerator.prepare(
            model, optimizer, DataLoader(TensorDataset(x, y), batch_size=25)
        )
        for _ in range(3):
            model.train()
            total = 0.0
            for rows, target in loader:
                optimizer.zero_grad()
                loss = nn.functional.mse_loss(model(rows), target)
                accelerator.backward(loss)
                optimizer.step()
                total += loss.item() / 4
            told["train_loss"].append(total)
            model.eval()
            with torch.no_grad():
                told["val_loss"].append(nn.functional.mse_loss(model(xv), yv).item())
    assert recorded.warnings == []
    assert recorded.values("train_loss") == pytest.approx(told["train_loss"])
    assert recorded.values("val_loss") == pytest.approx(told["val_loss"])


DDP = """
import gc, os, sys, torch, tabstudio
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
dist.init_process_group("gloo")
tabstudio.autolog(log_models=False, silent=True)
torch.manual_seed(0)
x, y = torch.randn(20, 3), torch.randn(20, 1)
model = DistributedDataParallel(nn.Linear(3, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(3):
    optimizer.zero_grad()
    loss = nn.functional.mse_loss(model(x), y)
    loss.backward()
    optimizer.step()
dist.destroy_process_group()
# Watched or not, PyTorch aborts now and then where the rest of a DDP model ends with the interpreter.
del model, optimizer, loss
gc.collect()
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def test_of_two_processes_that_train_together_the_first_one_records(tmp_path):
    port = free_port()
    (tmp_path / "train.py").write_text(textwrap.dedent(DDP))
    both = [
        subprocess.Popen(
            [sys.executable, "train.py"],
            cwd=tmp_path,
            env={
                **os.environ,
                "RANK": str(rank),
                "WORLD_SIZE": "2",
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": port,
                "TABSTUDIO_HOME": str(tmp_path / f"spool-{rank}"),
                "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
            },
        )
        for rank in (0, 1)
    ]
    assert [process.wait(120) for process in both] == [0, 0]
    (folder,) = (tmp_path / "spool-0" / "runs").iterdir()
    run = read_run(folder)
    assert [step for step, _ in run.metrics["train_loss"]] == [1, 2, 3]
    assert run.params["model"] == "Linear"
    assert run.params["world_size"] == "2"
    assert not (tmp_path / "spool-1").exists()


SPAWNING = """
import sys
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.nn.parallel import DistributedDataParallel

HOW

def work(rank, world, port):
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world)
    torch.manual_seed(0)
    x, y = torch.randn(20, 3), torch.randn(20, 1)
    model = DistributedDataParallel(nn.Linear(3, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(3):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        if rank == 0:
            print("printed", epoch)
    dist.destroy_process_group()
    if FAILS and rank == 0:
        raise ValueError("on purpose")


if __name__ == "__main__":
    mp.spawn(work, args=(2, int(sys.argv[1])), nprocs=2)
"""


@pytest.mark.parametrize(
    ("how", "command", "fails"),
    [
        ("", ["-m", "tabstudio", "run"], False),
        ("", ["-m", "tabstudio", "run"], True),
        ("import tabstudio; tabstudio.autolog(log_models=False)", [], False),
    ],
)
def test_of_spawned_processes_the_first_one_records(how, command, fails, tmp_path):
    (tmp_path / "train.py").write_text(SPAWNING.replace("HOW", how).replace("FAILS", str(fails)))
    environment = {
        **os.environ,
        "TABSTUDIO_HOME": str(tmp_path / "spool"),
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
    }
    done = subprocess.run(
        [sys.executable, *command, "train.py", free_port()],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == (1 if fails else 0), done.stderr
    (folder,) = (tmp_path / "spool" / "runs").iterdir()
    run = read_run(folder)
    assert [step for step, _ in run.metrics["train_loss"]] == [1, 2, 3]
    assert run.params["world_size"] == "2"
    assert run.status == ("FAILED" if fails else "FINISHED")
    if command:
        assert run.artifacts["output/stdout.txt"].decode().startswith("printed 0")
        assert "source/train.py" in run.artifacts
    if fails:
        assert "on purpose" in run.artifacts["error/error.txt"].decode()
