"""scikit-learn's face of the trainer: `TabularClassifier` and `TabularRegressor`.

They take what scikit-learn's own estimators take, and frames with words, dates and gaps besides. Nothing is
tracked and nothing is written: inside `cross_val_score` or a `Pipeline` that is the caller's affair.
"""

from __future__ import annotations

from dataclasses import replace
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_is_fitted, column_or_1d, validate_data

from tabstudio.errors import DataError
from tabstudio.options import ReadConfig, TrainConfig, configure, used_by
from tabstudio.table import read, split
from tabstudio.table.schema import Task

if TYPE_CHECKING:
    from sklearn.utils import Tags

    from tabstudio.model.predictor import Model
    from tabstudio.recipes.fit import FittedModel
    from tabstudio.table import Table

__all__ = ["TabularClassifier", "TabularRegressor"]

_TARGET = "__target__"


_SIGNATURE = Signature(
    [
        Parameter("self", Parameter.POSITIONAL_ONLY),
        *(
            Parameter(o.name, Parameter.KEYWORD_ONLY, default=o.default, annotation=o.type)
            for o in used_by("estimators")
        ),
        Parameter("random_state", Parameter.KEYWORD_ONLY, default=None),
    ]
)
"""What both estimators take: the declared options, and scikit-learn's name for the seed."""


class _TabularEstimator(BaseEstimator):
    """What both estimators share. None stands for: chosen from the table's size, as `train` does.

    `network` may also be a factory of modules of the user's own.
    """

    def __init__(self, **parameters: Any) -> None:
        bound = _SIGNATURE.bind(self, **parameters)
        bound.apply_defaults()
        for name, value in list(bound.arguments.items())[1:]:
            setattr(self, name, value)

    __init__.__signature__ = _SIGNATURE  # type: ignore[attr-defined]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        tags.non_deterministic = False
        return tags

    def _train(self, frame: pl.DataFrame, labels: np.ndarray, task: Task) -> FittedModel:
        from tabstudio.recipes.fit import fit
        from tabstudio.recipes.labeled_rows import LabeledRows

        if len(frame) != len(labels):
            raise ValueError(
                f"X has {len(frame)} rows, y has {len(labels)}: one label for each row was expected"
            )
        if len(frame) < 2:
            raise ValueError(f"at least 2 rows are needed to train, got n_samples = {len(frame)}")
        config = self._config()
        keep = () if hasattr(self, "feature_names_in_") else tuple(frame.columns)
        table = read(
            frame.with_columns(pl.Series(_TARGET, labels)),
            target=_TARGET,
            config=ReadConfig(task=task, keep=keep),
        )
        factory = None if isinstance(self.network, str) else self.network
        return fit(LabeledRows.of(table, _folds(table, config)), config, network=factory)

    def _config(self) -> TrainConfig:
        options = {name: value for name, value in self.get_params(deep=False).items() if value is not None}
        random_state = check_random_state(options.pop("random_state", None))
        if not isinstance(self.network, str):
            options.pop("network", None)
        return configure(**options, seed=int(random_state.randint(np.iinfo(np.int32).max)))


class TabularClassifier(ClassifierMixin, _TabularEstimator):
    """Classify the rows of a table with an ensemble of networks trained in one pass.

    `fit` takes X (rows, features) as an array or a frame, with numbers, words, dates and gaps, and y (rows,).
    `predict` answers the most probable class; `predict_proba` gives probabilities (rows, classes) that were
    calibrated on held-out rows, with columns as in `classes_`. `threshold_` is the probability of
    `classes_[1]` above which a two-class decision was best by F1 on held-out rows.

    >>> from tabstudio import TabularClassifier
    >>> TabularClassifier(epochs=5, random_state=0).fit([[0.0], [1.0]] * 20, ["no", "yes"] * 20).classes_
    array(['no', 'yes'], dtype='<U3')
    """

    classes_: np.ndarray
    model_: Model
    threshold_: float | None

    def fit(self, X: Any, y: Any) -> Self:
        """Train on rows X (rows, features) and labels y (rows,)."""
        frame = _frame(self, X, reset=True)
        y = column_or_1d(_no_gaps(y), warn=True)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y holds one class, {self.classes_[0]!r}: at least 2 classes are needed")
        fitted = self._train(frame, codes, "binary" if len(self.classes_) == 2 else "multiclass")
        self.model_ = fitted.model
        self.threshold_ = fitted.threshold.value if fitted.threshold else None
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities (rows, classes), columns as in `classes_`."""
        check_is_fitted(self)
        return self.model_.predict_proba(_frame(self, X, reset=False))

    def predict(self, X: Any) -> np.ndarray:
        """Most probable class of each row (rows,)."""
        probabilities = self.predict_proba(X)
        return np.asarray(self.classes_[probabilities.argmax(axis=1)])


class TabularRegressor(RegressorMixin, _TabularEstimator):
    """Predict a number for the rows of a table with an ensemble of networks trained in one pass.

    `fit` takes X (rows, features) as an array or a frame, with numbers, words, dates and gaps, and y (rows,).

    >>> from tabstudio import TabularRegressor
    >>> model = TabularRegressor(epochs=5, random_state=0).fit([[0.0], [1.0]] * 20, [1.5, 2.5] * 20)
    >>> model.predict([[0.0]]).shape
    (1,)
    """

    model_: Model

    def fit(self, X: Any, y: Any) -> Self:
        """Train on rows X (rows, features) and values y (rows,)."""
        frame = _frame(self, X, reset=True)
        values = check_array(column_or_1d(_no_gaps(y), warn=True), ensure_2d=False, dtype=np.float64)
        self.model_ = self._train(frame, values, "regression").model
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predict a value for each row (rows,)."""
        check_is_fitted(self)
        return self.model_.predict(_frame(self, X, reset=False))


def _folds(table: Table, config: TrainConfig) -> np.ndarray:
    """The fold that holds out each row (rows,); -1 for all where too few rows differ to hold any out."""
    try:
        return split(table, replace(config.split, test_size=0.0)).fold
    except DataError:
        return np.full(len(table), -1, dtype=np.int16)


def _no_gaps(y: Any) -> npt.NDArray[Any]:
    """Labels as an array, refused where one is missing.

    Raises `ValueError` naming the first row without a label.
    """
    if y is None:
        raise ValueError("this estimator requires y to be passed, but the target y is None")
    array = y.to_numpy() if hasattr(y, "to_numpy") else np.asarray(y)
    gaps = np.asarray([value is None or value != value for value in array.ravel()], dtype=bool)
    if gaps.any():
        raise ValueError(f"Input y contains NaN: row {int(gaps.argmax())} has no label")
    if array.dtype.kind == "f" and np.isinf(array).any():
        raise ValueError(f"Input y contains infinity: row {int(np.isinf(array).ravel().argmax())}")
    if array.dtype.kind == "c":
        raise ValueError("Complex data not supported")
    return array


def _frame(estimator: _TabularEstimator, X: Any, *, reset: bool) -> pl.DataFrame:
    """X as a frame with one named column per feature, held against what `fit` saw."""
    if hasattr(X, "columns") and not hasattr(X, "sparse"):
        validate_data(estimator, X, reset=reset, skip_check_array=True)
        names = [str(name) for name in X.columns]
        if isinstance(X, pl.DataFrame):
            return X.rename(dict(zip(X.columns, names, strict=True)))
        return pl.from_pandas(X.set_axis(names, axis=1))
    array = validate_data(estimator, X, reset=reset, dtype=None, ensure_all_finite="allow-nan")
    if array.dtype.kind == "O":
        columns = {f"x{i}": _column_values(array[:, i]) for i in range(array.shape[1])}
        return pl.DataFrame(columns, strict=False)
    return pl.DataFrame({f"x{i}": array[:, i] for i in range(array.shape[1])})


def _column_values(column: np.ndarray) -> np.ndarray | list[str | None]:
    """Numbers where a column of objects holds numbers, else its words."""
    try:
        return column.astype(np.float64)
    except (TypeError, ValueError):
        return [None if value is None or value != value else str(value) for value in column]
