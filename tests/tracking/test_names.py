import pytest

from tabstudio.errors import ConfigError
from tabstudio.tracking.mlflow_names import KEY_LENGTH, Names, abridged, check_model_name, fitting, shortened


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("train_loss", "train_loss"),
        ("val/recall at 0.5: macro", "val/recall at 0.5: macro"),
        ("loss (valid, %)", "loss _valid_ __"),
        ("/a//b/../c/", "a/c"),
        ("../../etc", "etc"),
        ("", "_"),
        ("..", "_"),
        ("línea\n2", "línea_2"),
    ],
)
def test_odd_names_become_names_that_mlflow_takes(name, given):
    from mlflow.utils.validation import _validate_metric_name

    assert fitting(name) == given
    _validate_metric_name(given)


def test_long_names_stay_apart():
    first, second = fitting("x" * 300 + "a"), fitting("x" * 300 + "b")
    assert first != second
    assert len(first) == len(second) == KEY_LENGTH


def test_two_names_never_share_one():
    names = Names()
    assert [names["loss(a)"], names["loss[a]"], names["loss_a_"], names["loss(a)"]] == [
        "loss_a_",
        "loss_a_-2",
        "loss_a_-3",
        "loss_a_",
    ]
    assert names.changed() == {"loss(a)": "loss_a_", "loss[a]": "loss_a_-2", "loss_a_": "loss_a_-3"}


def test_a_long_value_is_cut_to_the_limit_and_says_so():
    assert shortened("x" * 40, 40) == "x" * 40
    cut = shortened("x" * 41, 40)
    assert len(cut) <= 40
    assert cut.endswith("(shortened, 41 in all)")


@pytest.mark.parametrize("name", ["a/b", "a:b", "", " ", "..", "x" * 300])
def test_a_name_that_cannot_be_registered_is_refused_with_one_that_can(name):
    with pytest.raises(ConfigError, match="use '") as caught:
        check_model_name(name)
    check_model_name(str(caught.value).split("use '")[1].split("'")[0].split("...")[0])


def test_a_good_model_name_is_kept():
    assert check_model_name("Brust-Krebs 2") == "Brust-Krebs 2"


CARD = "\n\n".join(
    (
        "# m",
        "It is.",
        "## Data",
        "rows",
        "## Training",
        "{}",
        "## Limits",
        "few",
        "## How to use it",
        "load\n",
    )
)


def test_a_card_that_fits_is_left_alone():
    card = CARD.format("short")
    assert abridged(card, len(card), "tabstudio card m") == card


def test_a_long_card_loses_what_matters_least_and_says_so():
    text = abridged(CARD.format("x" * 300), 200, "tabstudio card m")
    assert len(text) <= 200
    assert "Left out here: Training; see `tabstudio card m`." in text
    assert "## Limits" in text
    assert "## How to use it" in text
    assert "## Training" not in text


def test_a_card_that_cannot_be_abridged_is_cut():
    assert len(abridged("x" * 500, 200, "tabstudio card m")) <= 200
