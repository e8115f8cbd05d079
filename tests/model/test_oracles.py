"""Our networks against the packages of the papers' authors and plain PyTorch, with the same weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tabstudio.errors import ConfigError
from tabstudio.model.inference.network_inputs import number_bins
from tabstudio.model.networks import NetworkSpec, build
from tabstudio.model.networks.layers import PiecewiseLinear
from tabstudio.model.networks.tabm import HEADS, Tabm
from tabstudio.model.quantile_bins import quantile_edges
from tabstudio.options import NetworkConfig

NUMBERS, ROWS = 5, 11
LEVELS = (3, 12)


def rows() -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    codes = torch.stack([torch.randint(0, n, (ROWS,), generator=random) for n in LEVELS], dim=1)
    return torch.randn(ROWS, NUMBERS, generator=random), codes


@pytest.mark.parametrize("outputs", [1, 3])
def test_tabm_equals_the_authors_package(outputs: int) -> None:
    tabm = pytest.importorskip("tabm", reason="tabm is installed with the extra dev")
    config = NetworkConfig("tabm", (16, 16), 0.0, "relu")
    pack = build(NetworkSpec("tabm", NUMBERS, LEVELS, outputs, config), [3, 4])
    assert isinstance(pack, Tabm)
    for parameter in pack.parameters():  # so that no factor is 1 any more
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    numbers, codes = rows()
    entering = pack.features(numbers, codes).detach()
    for m in range(2):
        theirs = tabm.TabM(
            n_num_features=pack.entering,
            d_out=outputs,
            n_blocks=2,
            d_block=16,
            dropout=0.0,
            k=HEADS,
            start_scaling_init="normal",
        )
        for block, layer in zip(theirs.backbone.blocks, pack.layers, strict=True):
            block[0].weight.data = layer.weight[m].T
            for mine, name in ((layer.before, "r"), (layer.behind, "s"), (layer.bias, "bias")):
                getattr(block[0], name).data = mine[m]
        theirs.output.weight.data, theirs.output.bias.data = pack.last.weight[m], pack.last.bias[m]
        expected = theirs(entering[m]).transpose(0, 1)
        pack.train()
        raw = pack(numbers, codes)[m].view(HEADS, ROWS, outputs)
        torch.testing.assert_close(raw, expected, rtol=1e-4, atol=1e-5)
        pack.eval()
        torch.testing.assert_close(pack(numbers, codes)[m], expected.mean(0), rtol=1e-4, atol=1e-5)


def test_heads_start_apart_and_share_their_matrices() -> None:
    edges = ((-1.0, 0.0, 0.5, 1.0),) * NUMBERS
    config = NetworkConfig("tabm", (16,), 0.0)
    pack = build(NetworkSpec("tabm", NUMBERS, LEVELS, 1, config, edges=edges), [0])
    raw = pack.train()(*rows())[0].view(HEADS, ROWS)
    assert len(torch.unique(raw[:, 0])) == HEADS
    assert pack.layers[0].weight.shape == (1, pack.entering, 16)  # type: ignore[union-attr,index]
    first = pack.layers[0].before[0, :, NUMBERS : NUMBERS + 3]  # type: ignore[union-attr,index]
    assert torch.equal(first, first[:, :1].expand(-1, 3))  # one factor for all bins of a number


def test_bins_equal_those_of_the_authors_package() -> None:
    rtdl = pytest.importorskip("rtdl_num_embeddings", reason="it is installed with the extra dev")
    random = torch.Generator().manual_seed(0)
    x = torch.randn(500, NUMBERS, generator=random)
    edges = quantile_edges(x.numpy(), 6)
    theirs = rtdl.compute_bins(x, 6)
    for mine, of in zip(edges, theirs, strict=True):
        torch.testing.assert_close(torch.tensor(mine), of)
    expected = rtdl.PiecewiseLinearEncoding(theirs)(x)  # the ends are theirs, too: nothing lies beyond them
    ours = PiecewiseLinear(number_bins(edges))(x)
    torch.testing.assert_close(ours, (2 * expected - 1) / 6**0.5, rtol=1e-4, atol=1e-5)


def test_a_number_beyond_all_edges_stands_at_their_end() -> None:
    encoded = PiecewiseLinear(number_bins([(0.0, 1.0, 3.0), (), (5.0, 6.0)]))
    x = torch.tensor([[-9.0, 1.0, 5.0], [2.0, 1.0, 5.0], [9.0, 1.0, 5.0]])
    expected = torch.tensor([[-1.0, -1.0], [1.0, 0.0], [1.0, 1.0]]) / 2**0.5
    torch.testing.assert_close(encoded(x), expected)


def test_few_distinct_values_are_edges_themselves() -> None:
    numbers = np.array([[1.0, 7.0, 0.0], [2.0, 7.0, 1.0], [4.0, 7.0, 1.0]] * 9, dtype=np.float32)
    assert quantile_edges(numbers, 8) == ((1.0, 2.0, 4.0), (7.0,), (0.0, 1.0))
    assert quantile_edges(numbers[:0], 8) == ((), (), ())


def test_a_value_of_most_rows_leaves_bins_to_the_others() -> None:
    column = np.concatenate([np.zeros(900), np.arange(1.0, 101.0)]).astype(np.float32)
    (edges,) = quantile_edges(column[:, None], 8)
    assert (edges[0], edges[-1]) == (0.0, 100.0)
    assert len(edges) == 9
    assert np.diff(edges).max() < 30


def test_resnet_equals_plain_torch() -> None:
    pack = build(
        NetworkSpec("resnet", NUMBERS, LEVELS, 2, NetworkConfig("resnet", (8, 8), 0.0, "relu")), [1, 2]
    )
    for parameter in pack.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    numbers, codes = rows()
    entering = pack.features(numbers, codes).detach()  # type: ignore[operator]

    def linear(layer: nn.Module, m: int) -> nn.Linear:
        plain = nn.Linear(*layer.weight.shape[1:])  # type: ignore[index,misc]
        plain.weight.data, plain.bias.data = layer.weight[m].T, layer.bias[m]  # type: ignore[index,assignment]
        return plain

    def norm(layer: nn.Module, m: int) -> nn.LayerNorm:
        plain = nn.LayerNorm(8)
        plain.weight.data, plain.bias.data = layer.gain[m], layer.shift[m]  # type: ignore[index,assignment]
        return plain

    for m in range(2):
        x = linear(pack.first, m)(entering[m])  # type: ignore[arg-type]
        for block in pack.blocks:  # type: ignore[union-attr]
            inner = torch.relu(linear(block["into"], m)(norm(block["norm"], m)(x)))
            x = x + linear(block["back"], m)(inner)
        expected = linear(pack.last, m)(torch.relu(norm(pack.norm, m)(x)))  # type: ignore[arg-type]
        torch.testing.assert_close(pack.eval()(numbers, codes)[m], expected, rtol=1e-4, atol=1e-5)


def test_a_resnet_of_several_widths_is_refused() -> None:
    with pytest.raises(ConfigError, match="blocks of one width"):
        build(NetworkSpec("resnet", 1, (), 1, NetworkConfig("resnet", (8, 4))), [0])
