"""Options by their flat names: set, checked, refused with a suggestion."""

from __future__ import annotations

import pytest

from tabstudio import ConfigError, TrainConfig, configure
from tabstudio.options import OPTIONS, load_config


def test_flat_names_reach_their_section():
    config = configure(
        epochs=20, network="mlp", hidden=[30, 15], kind={"zip": "category"}, split="part", seed=7
    )
    assert config.training.epochs == 20
    assert (config.network.name, config.network.hidden) == ("mlp", (30, 15))
    assert config.read.kinds == {"zip": "category"}
    assert config.split.column == "part"
    assert (config.split.seed, config.training.seed) == (7, 7)


def test_what_is_not_named_stays():
    base = configure(epochs=20)
    assert configure(base, folds=3).training.epochs == 20
    assert configure() == TrainConfig()


def test_flat_is_the_way_back():
    told = {"epochs": 3, "drop": ("a",), "minutes": 0.5, "positive": "yes"}
    flat = configure(**told).flat()
    assert {name: flat[name] for name in told} == told
    assert set(flat) == set(OPTIONS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epoch": 3}, "option epoch does not exist: did you mean epochs"),
        ({"epochs": 0}, "option epochs: at least 1 was expected, got 0"),
        ({"epochs": "many"}, "option epochs: .*got 'many'"),
        ({"network": "tree"}, "option network: .*got 'tree'"),
        ({"kind": {"a": "float"}}, "option kind: .*got 'float'"),
        ({"dropout": 1.0}, "option dropout: a share"),
        ({"learning_rate": float("nan")}, "option learning_rate: a number above 0"),
        ({"hidden": (30, 0)}, "option hidden: widths"),
        ({"recipe": "soup"}, "option recipe: one of default, tutorial was expected, got 'soup'"),
    ],
)
def test_what_does_not_exist_or_fit_is_refused_by_name(options, message):
    with pytest.raises(ConfigError, match=message):
        configure(**options)


def test_all_faults_are_named_at_once():
    with pytest.raises(ConfigError) as caught:
        configure(epoch=3, folds=0, dropout=2)
    assert len(str(caught.value).splitlines()) == 3


def test_a_file_holds_the_same_names(tmp_path):
    path = tmp_path / "job.toml"
    path.write_text('epochs = 20\nhidden = [30, 15]\n[kind]\nzip = "category"\n')
    assert configure(**load_config(path)) == configure(epochs=20, hidden=(30, 15), kind={"zip": "category"})


@pytest.mark.parametrize(("text", "message"), [("epochs = = 3", "not a TOML file"), (None, "cannot be read")])
def test_a_file_that_is_none_is_refused_by_its_name(tmp_path, text, message):
    path = tmp_path / "job.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=f"job.toml: .*{message}"):
        load_config(path)
