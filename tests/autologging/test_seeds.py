"""Seeds that the script sets stand in the run's parameters, and the numbers drawn stay what they were."""

from __future__ import annotations

import random

import numpy as np
import torch

from tabstudio.autologging.observers.seeds import SeedObserver
from tabstudio.autologging.observers.training_loop import TrainingLoopObserver

from . import loops


def draw():
    random.seed(7)
    np.random.seed(11)  # noqa: NPY002 - what scripts write
    rng = np.random.default_rng(seed=99)
    torch.manual_seed(5)
    return random.random(), np.random.rand(), rng.random()  # noqa: NPY002


def test_seeds_are_parameters(watched):
    plain = draw()
    with watched(TrainingLoopObserver(), SeedObserver()) as recorded:
        assert draw() == plain
        loops.full_batch()
    seeds = {name: value for name, value in recorded.runs[0].params.items() if name.startswith("seed")}
    assert seeds == {
        "seed.torch": "5",
        "seed.random": "7",
        "seed.numpy": "11",
        "seed.numpy.default_rng": "99",
    }


def test_a_generator_without_a_seed_is_no_seed(watched):
    with watched(TrainingLoopObserver(), SeedObserver()) as recorded:
        np.random.default_rng()
        random.seed()
        loops.full_batch()
    assert [name for name in recorded.runs[0].params if name.startswith("seed")] == ["seed.torch"]
    assert not hasattr(random.seed, "__wrapped__")
