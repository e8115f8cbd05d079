"""Predictions on raw rows: the same whatever surrounds them, in the language of the training table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from tabstudio.errors import InputError, ModelError
from tabstudio.model import predictor
from tabstudio.model.predictor import Model
from tabstudio.table.schema import Target

TASKS = ["binary", "multiclass", "regression"]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("network", ["tabular", "mlp"])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 17, 150])
def test_a_row_is_predicted_alike_in_any_batch(
    make_model: Callable[..., Model], rows: pl.DataFrame, task: str, network: str, size: int
) -> None:
    model = make_model(task, network)
    whole = model.predict_frame(rows)
    parts = [model.predict_frame(rows[start : start + size]) for start in range(0, 150, size)]
    if task == "multiclass":
        np.testing.assert_allclose(pl.concat(parts)[:150, 1:], whole[:150, 1:], rtol=0, atol=1e-7)
    else:
        assert pl.concat(parts)[:150].equals(whole[:150])


def test_long_tables_go_through_the_network_in_bounded_parts(
    model: Model, rows: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = model.predict_proba(rows)
    seen = []
    monkeypatch.setattr(predictor, "ROWS", 64)
    model.pack.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    np.testing.assert_array_equal(model.predict_proba(rows), whole)
    assert seen == [64] * 5


def test_probabilities_are_the_mean_over_the_members(
    make_model: Callable[..., Model], rows: pl.DataFrame
) -> None:
    model = make_model("multiclass", temperature=2.0)
    inputs = model.encoder.encode(rows)
    with torch.no_grad():
        raw = model.pack(torch.from_numpy(inputs.numbers), torch.from_numpy(inputs.codes)).double()
    expected = torch.softmax(raw / 2.0, dim=2).mean(0)
    np.testing.assert_allclose(model.predict_proba(rows), expected, rtol=1e-12)
    assert model.predict(rows).tolist() == [(1, 2, 3)[i] for i in expected.argmax(1)]


def test_values_come_back_on_the_targets_scale(make_model: Callable[..., Model], rows: pl.DataFrame) -> None:
    plain = make_model("regression").predict(rows)
    scaled = make_model("regression", target_mean=100.0, target_scale=4.0).predict(rows)
    np.testing.assert_allclose(scaled, plain * 4 + 100, rtol=1e-12)


@pytest.mark.parametrize("positive", ["no", "yes"])
def test_the_threshold_is_for_the_positive_class(
    make_model: Callable[..., Model], rows: pl.DataFrame, positive: str
) -> None:
    target = Target("ill", "binary", ("no", "yes"), positive)
    model = make_model("binary", target=target)
    chance = model.predict_proba(rows)[:, ("no", "yes").index(positive)]
    model.head = replace(model.head, threshold=float(np.sort(chance)[30]))
    assert ((model.predict(rows) == positive) == (chance >= model.threshold)).all()
    assert (model.predict(rows) == positive).sum() == 270


@pytest.mark.parametrize(
    ("classes", "dtype"),
    [(("a", "bc"), "U"), ((0, 1), "i"), ((0.5, 1.5), "f"), ((False, True), "b"), ((1, "other"), "O")],
)
def test_labels_come_back_in_their_own_type(
    make_model: Callable[..., Model], rows: pl.DataFrame, classes: tuple, dtype: str
) -> None:
    model = make_model("binary", target=Target("y", "binary", classes, classes[1]), threshold=0.5)
    predicted = model.predict(rows)
    assert predicted.dtype.kind == dtype
    assert set(predicted.tolist()) <= set(classes)
    frame = model.predict_frame(rows)
    assert frame.columns == ["prediction", *(f"probability_{label}" for label in classes)]


def test_order_of_columns_and_further_ones_do_not_matter(model: Model, rows: pl.DataFrame) -> None:
    expected = model.predict_proba(rows)
    other = rows.select(pl.lit("x").alias("note"), *reversed(rows.columns))
    np.testing.assert_array_equal(model.predict_proba(other), expected)


@pytest.mark.parametrize("form", ["pandas", "pyarrow", "dict", "records"])
def test_any_kind_of_frame_is_taken(model: Model, rows: pl.DataFrame, form: str) -> None:
    data = {
        "pandas": lambda: rows.to_pandas(),
        "pyarrow": lambda: rows.to_arrow(),
        "dict": lambda: rows.to_dict(as_series=False),
        "records": lambda: rows.to_dicts(),
    }[form]()
    np.testing.assert_array_equal(model.predict_proba(data), model.predict_proba(rows))


def test_raw_words_are_read_as_the_file_was(model: Model, rows: pl.DataFrame) -> None:
    words = rows.select(pl.all().cast(pl.String))
    np.testing.assert_array_equal(model.predict_proba(words), model.predict_proba(rows))


def test_unseen_categories_and_new_gaps_are_counted(model: Model, rows: pl.DataFrame) -> None:
    strange = rows.head(3).with_columns(
        city=pl.Series(["Oslo", "Atlantis", "Mu"]), age=pl.Series([1, None, 3])
    )
    assert np.isfinite(model.predict_proba(strange)).all()
    model.predict(strange)
    assert model.unseen == {"city": 4}
    assert model.gaps == {"age": 2}


def test_missing_columns_and_wrong_types_are_one_error(model: Model, rows: pl.DataFrame) -> None:
    broken = rows.drop("weight", "smoker").with_columns(age=pl.Series(["old"] * len(rows)))
    with pytest.raises(InputError) as caught:
        model.predict(broken)
    for name in ("weight", "smoker", "age", "old"):
        assert name in str(caught.value)


def test_no_rows_give_no_predictions(model: Model, rows: pl.DataFrame) -> None:
    assert model.predict(rows.clear()).shape == (0,)
    assert model.predict_proba(rows.clear()).shape == (0, 2)
    assert model.predict_frame(rows.clear()).columns == ["prediction", "probability_no", "probability_yes"]


def test_probabilities_of_a_regression_are_refused(
    make_model: Callable[..., Model], rows: pl.DataFrame
) -> None:
    with pytest.raises(ModelError, match="use predict"):
        make_model("regression").predict_proba(rows)


def test_repr_names_the_task_and_html_is_escaped(make_model: Callable[..., Model]) -> None:
    model = make_model(target=Target("<b>ill</b>", "binary", ("no", "<i>"), "<i>"))
    assert "task=binary" in repr(model)
    assert "positive='<i>'" in repr(model)
    assert "<b>" not in model._repr_html_()
    assert "<i>" not in model._repr_html_()


def test_predicting_leaves_no_gradient_and_no_thread_setting(model: Model, rows: pl.DataFrame) -> None:
    threads = torch.get_num_threads()
    model.pack.train()
    again = Model(model.schema, model.encoder, model.pack)
    again.predict(rows)
    assert not again.pack.training
    assert torch.get_num_threads() == threads
