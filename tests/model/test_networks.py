"""Packs of networks as modules: shapes, members, copies, plain-data descriptions."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn
from torch.nn import functional

from tabstudio.errors import ConfigError
from tabstudio.model.networks import Custom, NetworkSpec, Pack, build, layers
from tabstudio.model.networks.layers import (
    PackedEmbedding,
    PackedLinear,
    dropout,
    quick_dropout,
    with_one_hot,
)
from tabstudio.options import NetworkConfig

LEVELS = (3, 30)
EDGES = ((-1.0, 0.0, 1.0), (0.0, 1.0), (), (-0.5, 0.0, 0.2, 2.0))
NUMBERS, CODES = torch.randn(7, 4), torch.stack([torch.arange(7) % n for n in LEVELS], dim=1)


def packs(seeds: list[int]) -> list[Pack]:
    specs = [
        NetworkSpec(
            *(name, 4, LEVELS, 2),
            NetworkConfig(name, (8, 8) if name == "resnet" else (8, 6), 0.5),  # type: ignore[arg-type]
            edges=() if name == "mlp" else EDGES,
        )
        for name in ("mlp", "tabular", "tabm", "resnet")
    ]
    own = Custom(
        lambda i, o: nn.Sequential(nn.Linear(i, 5), nn.Dropout(0.5), nn.Linear(5, o)), seeds, 4, LEVELS, 2
    )
    return [*(build(spec, seeds) for spec in specs), own]


@pytest.mark.parametrize("seeds", [[3], [3, 1, 4]])
def test_shared_rows_and_rows_per_member_give_the_same_outputs(seeds: list[int]) -> None:
    for pack in packs(seeds):
        pack.eval()
        shared = pack(NUMBERS, CODES)
        assert shared.shape == (len(seeds), 7, 2)
        k = len(seeds)
        own = pack(NUMBERS.expand(k, -1, -1), CODES.expand(k, -1, -1))
        torch.testing.assert_close(own, shared, rtol=1e-5, atol=1e-6)


def test_every_parameter_has_the_member_axis_in_front() -> None:
    for pack in packs([0, 1, 2]):
        assert all(len(p) == 3 for p in pack.parameters())
        assert all(p.is_contiguous() for p in pack.parameters())


def test_members_taken_out_go_on_as_they_would_have() -> None:
    for pack in packs([5, 6, 7]):
        for p in pack.parameters():
            p.data.add_(0.1)
        pack.train()
        pack(NUMBERS, CODES)
        taken = pack.members([2, 0])
        assert taken.seeds == (7, 5)
        torch.testing.assert_close(taken(NUMBERS, CODES), pack(NUMBERS, CODES)[[2, 0]], rtol=1e-5, atol=1e-6)


def test_a_specification_survives_json() -> None:
    spec = NetworkSpec("tabular", 4, LEVELS, 2, NetworkConfig("tabular", (8, 6)), edges=EDGES)
    assert NetworkSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_weights_survive_a_state_dict() -> None:
    for pack, fresh in zip(packs([0, 1]), packs([8, 9]), strict=True):
        fresh.load_state_dict(pack.state_dict())
        assert torch.equal(fresh.eval()(NUMBERS, CODES), pack.eval()(NUMBERS, CODES))


def test_layers_start_as_torchs_own_do() -> None:
    packed = PackedLinear(6, 3, [torch.Generator().manual_seed(s) for s in (11, 12)])
    for m, seed in enumerate((11, 12)):
        torch.manual_seed(seed)
        layer = nn.Linear(6, 3)
        assert torch.equal(packed.weight[m].T, layer.weight)
        assert torch.equal(packed.bias[m], layer.bias)


def test_dropout_draws_what_torch_draws() -> None:
    x = torch.ones(2, 50, 20)
    got = dropout(x, (0.3, 0.3), [torch.Generator().manual_seed(s) for s in (1, 2)], (20, 20))
    for m, seed in enumerate((1, 2)):
        torch.manual_seed(seed)
        assert torch.equal(got[m], nn.functional.dropout(x[m], 0.3))


@pytest.mark.parametrize("shape", [(2, 101, 33), (101, 33)])
def test_quick_dropout_keeps_the_share_and_the_mean(shape: tuple[int, ...]) -> None:
    generators = [torch.Generator().manual_seed(s) for s in range(shape[0] if len(shape) == 3 else 1)]
    k = len(generators)
    got = quick_dropout(torch.ones(shape), (0.25,) * k, generators, (33,) * k)
    assert (got == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert got.mean().item() == pytest.approx(1.0, abs=0.02)
    assert torch.equal(got[got > 0], torch.full_like(got[got > 0], 4 / 3))


def test_an_embedding_looks_up_each_columns_own_rows() -> None:
    generators = [torch.Generator().manual_seed(s) for s in (0, 1)]
    embedding = PackedEmbedding(LEVELS, 4, generators)
    got = embedding(CODES)
    for m in range(2):
        for row, (a, b) in enumerate(CODES.tolist()):
            expected = torch.cat([embedding.table[m, a], embedding.table[m, LEVELS[0] + b]])
            assert torch.equal(got[m, row], expected)


def test_one_hot_codes_stand_behind_the_numbers() -> None:
    got = with_one_hot(torch.tensor([[0.5]]), torch.tensor([[1, 0]]), (2, 3))
    assert got.tolist() == [[0.5, 0.0, 1.0, 1.0, 0.0, 0.0]]


def test_a_network_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match="one of mlp, tabular, tabm, resnet was expected, got 'forest'"):
        build(NetworkSpec("forest", 1, (), 1, NetworkConfig()), [0])


@pytest.mark.parametrize("words", [True, False])
def test_dropout_is_that_of_torch_whichever_way_truths_are_drawn(
    words: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if words and not layers._bernoulli_takes_words():
        pytest.skip("this build of torch draws truths in another way")
    monkeypatch.setattr(layers, "_bernoulli_takes_words", lambda: words)
    x, seeds, shares, widths = torch.randn(3, 40, 9), (5, 6, 7), (0.3, 0.0, 0.55), (9, 9, 4)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    found = dropout(x, shares, generators, widths)
    for m, (seed, share, own) in enumerate(zip(seeds, shares, widths, strict=True)):
        torch.manual_seed(seed)
        assert torch.equal(found[m, :, :own], functional.dropout(x[m, :, :own], share))
