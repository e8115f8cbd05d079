"""Adam over members against torch's own."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from tabstudio.training import optimizer
from tabstudio.training.optimizer import Adam


@pytest.mark.parametrize(
    ("rates", "decays"),
    [([0.01, 0.01, 0.01], [0.0, 0.0, 0.0]), ([0.1, 0.01, 0.001], [0.0, 0.1, 0.1]), ([0.05], [0.5])],
)
def test_each_member_takes_the_steps_of_torchs_adamw(rates: list[float], decays: list[float]) -> None:
    k = len(rates)
    random = torch.Generator().manual_seed(0)
    packed = [torch.randn(k, 4, 3, generator=random), torch.randn(k, 3, generator=random)]
    separate = [[p[m].clone().requires_grad_() for p in packed] for m in range(k)]
    packed = [p.requires_grad_() for p in packed]
    mine = Adam(packed, rates, decays, betas=(0.9, 0.95))
    theirs = [
        torch.optim.AdamW(ps, lr=r, weight_decay=d, betas=(0.9, 0.95))
        for ps, r, d in zip(separate, rates, decays, strict=True)
    ]
    for _ in range(20):
        for i, parameter in enumerate(packed):
            parameter.grad = torch.randn(parameter.shape, generator=random)
            for m in range(k):
                separate[m][i].grad = parameter.grad[m].clone()
        mine.step()
        for torchs in theirs:
            torchs.step()
    for m in range(k):
        for parameter, expected in zip(packed, separate[m], strict=True):
            torch.testing.assert_close(parameter[m], expected, rtol=1e-5, atol=1e-6)


def test_decay_spares_the_parameters_that_it_is_not_for() -> None:
    weight, bias = torch.ones(1, 2, requires_grad=True), torch.ones(1, 2, requires_grad=True)
    optimizer = Adam([weight, bias], [0.1], [0.5], decays=[True, False])
    weight.grad, bias.grad = torch.zeros(1, 2), torch.zeros(1, 2)
    optimizer.step()
    assert weight.tolist() == [[pytest.approx(0.95)] * 2]
    assert bias.tolist() == [[1.0] * 2]


@pytest.mark.parametrize("small", [0, 10**9])
def test_a_factor_is_a_start_and_a_rate_that_many_times_as_large(
    small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optimizer, "LEAST_ENTRIES", small)  # a call per run of members, or one over all
    factors, rates = (0.1, 6.0, 6.0), [0.1, 0.02, 0.02]
    random = torch.Generator().manual_seed(0)
    start = torch.randn(3, 4, generator=random)
    scale = torch.tensor(factors).unsqueeze(1)
    inner, outer = start.clone().requires_grad_(), (scale * start).clone().requires_grad_()
    theirs = Adam([inner], rates, [0.5, 0.1, 0.0], eps=0.0)
    mine = Adam([outer], rates, [0.5, 0.1, 0.0], eps=0.0, rates=[factors])
    for _ in range(10):
        for weights in (scale * inner, outer):
            (weights - 1.0).pow(2).sum().backward()
        theirs.step(), mine.step()
    torch.testing.assert_close(outer, scale * inner, rtol=1e-5, atol=1e-6)


def test_training_imports_no_compiler_and_nothing_else_that_is_slow() -> None:
    code = (
        "import sys, numpy as np\n"
        "from tabstudio.options import NetworkConfig, TrainingConfig\n"
        "from tabstudio.model.encoder import EncodedRows\n"
        "from tabstudio.table.schema import Target\n"
        "from tabstudio.training.data import TrainingRows\n"
        "from tabstudio.training.trainer import train_members\n"
        "inputs = EncodedRows(np.zeros((40, 3), np.float32), np.zeros((40, 0), np.int64), {}, {})\n"
        "labels, target = np.arange(40) % 2, Target('y', 'binary', (0, 1), 1)\n"
        "train_members(TrainingRows(inputs, labels, labels, target),\n"
        "      NetworkConfig(hidden=(8,)), TrainingConfig(epochs=2))\n"
        "heavy = 'torch._dynamo', 'sklearn', 'scipy', 'pandas', 'mlflow', 'matplotlib'\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
