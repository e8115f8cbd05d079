"""Options by their flat names: set, checked, refused with a suggestion."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from types import SimpleNamespace

import pytest

from tabstudio import ConfigError, TabularClassifier, TabularRegressor, TrainConfig, configure
from tabstudio.cli.app import build_app, run
from tabstudio.cli.options import merge_options
from tabstudio.options import OPTIONS, NetworkConfig, load_config, searched_options, used_by
from tabstudio.recipes.search import SearchSpace
from tabstudio.training.plan import make_plan


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
        ({"weight_decay": float("inf")}, "option weight_decay: at least 0 was expected, got inf"),
        ({"device": "tpu"}, "option device: auto, cpu, cuda, cuda:1 or mps was expected, got 'tpu'"),
        ({"seed": "x"}, "option seed: .*got 'x'"),
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


def test_every_field_of_the_configuration_is_declared():
    config = TrainConfig()
    sections = [s for s in fields(config) if is_dataclass(getattr(config, s.name))]
    told = {("", f.name) for f in fields(config) if f not in sections}
    told |= {(s.name, f.name) for s in sections for f in fields(getattr(config, s.name))}
    assert told - {(o.section, o.field) for o in OPTIONS.values()} == {("training", "seed")}


@pytest.mark.parametrize("option", OPTIONS.values(), ids=lambda o: o.name)
def test_a_declaration_says_what_the_option_is_and_what_holds_where_it_is_left_open(option):
    assert option.option.help.endswith(".")
    assert option.label
    assert option.option.used_by
    assert option.unset not in ("", "None")
    assert configure(**{option.name: option.default}) == TrainConfig()


@pytest.mark.parametrize("command", ["train", "sweep", "explore", "predict"])
def test_a_command_has_the_options_that_it_uses_in_groups(command):
    known = {p.name: p for p in build_app([command]).commands[command].params}
    declared = {option.name: option for option in used_by(command)}
    assert set(declared) == set(known) & set(OPTIONS)
    for name, option in declared.items():
        assert known[name].rich_help_panel == (option.group if option.section else None)
        assert option.unset == "none" or f"[default: {option.unset}]" in known[name].help


def test_help_shows_groups_and_what_is_chosen(capsys):
    run(["train", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "Training: --epochs" in text
    assert "Share of the rows set apart for the test. [default: 0.25]" in text
    assert "[default: by network: 12 for tabular" in text


def test_the_command_line_wins_over_the_file(tmp_path):
    path = tmp_path / "job.toml"
    path.write_text('target = "a"\nepochs = 20\nreferences = false\n')
    merged = merge_options(path, {"target": "b", "epochs": None, "references": True, "drop": []})
    assert merged == {"target": "b", "epochs": 20, "references": True}


def test_estimators_have_the_options_that_apply():
    names = {"random_state", *(option.name for option in used_by("estimators"))}
    assert set(TabularClassifier().get_params()) == set(TabularRegressor().get_params()) == names
    assert TabularClassifier(epochs=3).get_params()["epochs"] == 3
    with pytest.raises(TypeError, match="epoch"):
        TabularClassifier(epoch=3)
    config = TabularClassifier(random_state=0)._config()
    assert config == configure(seed=config.split.seed)


def test_what_train_chooses_is_what_the_declarations_say():
    def plan(rows, task="binary", **options):
        config = configure(**options)
        return make_plan(config.training, config.network, task, rows=rows, folds=5)

    said = {name: option.unset for name, option in OPTIONS.items()}
    assert (plan(32_768).batch_size, plan(32_769).batch_size, plan(65_537).batch_size) == (256, 512, 1024)
    assert "256, 512 above 32,768 training rows, 1,024 above 65,536" in said["batch_size"]
    rates = [plan(500).learning_rate[0], plan(500, "regression").learning_rate[0]]
    rates += [plan(500, network=name).learning_rate[0] for name in ("tabm", "mlp")]
    assert said["learning_rate"].endswith(
        "{} for tabular, {} for its regressions, {} for tabm, else {}".format(*rates)
    )
    assert (plan(500).weight_decay[0], plan(500, network="mlp").weight_decay[0]) == (0.02, 0.0)
    assert (plan(500).label_smoothing[0], plan(500, network="resnet").label_smoothing[0]) == (0.1, 0.0)
    assert plan(500, "regression", label_smoothing=0.3).label_smoothing[0] == 0.0
    assert (plan(1999).dropout[0], plan(2000).dropout[0], plan(2000, network="mlp").dropout[0]) == (
        0.15,
        0,
        0.15,
    )
    assert plan(500).patience == 12
    assert plan(500, "regression").patience == plan(500, "regression").epochs
    assert [plan(500, network="mlp", epochs=n).patience for n in (9, 90)] == [10, 30]
    assert (
        plan(10_000_000).epochs,
        plan(100_000).epochs,
        max(plan(n).epochs for n in range(100, 9000, 50)),
    ) == (8, 24, 100)
    assert plan(500).members == 5
    assert NetworkConfig().widths == (128, 128, 128)


def test_the_search_covers_what_is_declared_to_be_searched():
    rows = SimpleNamespace(trained=500, folds=5, target=SimpleNamespace(task="binary"), cardinalities=(50,))
    space = SearchSpace.around(TrainConfig(), rows, frozenset(), {})
    names = [
        name for o in searched_options() for name in ({"hidden": ("width", "depth")}.get(o.name, (o.name,)))
    ]
    assert list(space.distributions) == names
    for name, distribution in space.distributions.items():
        assert distribution._contains(distribution.to_internal_repr(space.usual[name]))
