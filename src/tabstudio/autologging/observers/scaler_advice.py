"""Warns when a scaler was fitted but the model is logged without it, and says what to write."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

from tabstudio.autologging.events import Observer, WatchedTraining
from tabstudio.autologging.instrument.patches import Patches
from tabstudio.autologging.trace import call_arguments

if TYPE_CHECKING:
    import pandas as pd

    from tabstudio.autologging.launch.session import AutologSession

_MODULES = ("sklearn.preprocessing", "sklearn.impute", "sklearn.compose", "sklearn.pipeline")
_KNOWN = (
    *("StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler", "PowerTransformer"),
    *("QuantileTransformer", "OneHotEncoder", "OrdinalEncoder", "SimpleImputer", "Pipeline"),
    *("ColumnTransformer", "FeatureUnion", "LabelEncoder"),
)
MOST_ROWS = 200_000
MOST_CLASSES = 20


@dataclass(frozen=True, slots=True)
class FittedScaler:
    """A transformer that the user's code has fitted, with the first row of its data."""

    transformer: object
    row: object


class ScalerAdvice(Observer):
    """Advises to log the fitted preprocessing with the model, without which it takes no raw rows."""

    name = "preprocessing"

    def install(self, session: AutologSession) -> None:
        """Wrap `fit` of scikit-learn's transformers: there is no hook for it."""
        self._session = session
        self._patches = Patches()
        self._fitted: list[FittedScaler] = []
        self._logged = False
        for name in _MODULES:
            session.imports.when(name, self._watch)

    def remove(self) -> None:
        """Put everything back."""
        self._patches.undo()

    def model_logged(self, model: object, preprocessor: object, registered: bool) -> None:
        """Note that a model was logged with its preprocessing."""
        self._logged = self._logged or preprocessor is not None

    def training_ended(self, training: WatchedTraining) -> None:
        """Warn if the preprocessing is missing."""
        steps = [fitted for fitted in self._fitted if not hasattr(fitted.transformer, "classes_")]
        if steps and not self._logged and self._session.options.log_models:
            names = vars(sys.modules["__main__"])
            name = type(steps[-1].transformer).__name__
            self._session.warn(
                f"{name} was fitted, but the model is kept without it and takes no raw rows. To keep both as "
                f"one, write after the training:\n  {_line(training, steps[-1], self._fitted, names)}"
            )

    def _watch(self, module: ModuleType) -> None:
        for name in _KNOWN:
            kind = getattr(module, name, None)
            for method in ("fit", "fit_transform") if kind is not None else ():
                self._patches.set(kind, method, self._watched(getattr(kind, method)))

    def _watched(self, fit: Callable[..., object]) -> Callable[..., object]:
        on_fit = self._session.guarded(self, self._was_fitted)

        @functools.wraps(fit)
        def watched(transformer: object, *args: object, **kwargs: object) -> object:
            result = fit(transformer, *args, **kwargs)
            on_fit(transformer, args)
            return result

        return watched

    def _was_fitted(self, transformer: object, args: tuple[Any, ...]) -> None:
        if call_arguments.calling_frame() is None:
            return
        self._fitted = [known for known in self._fitted if known.transformer is not transformer]
        row = args[0][:1] if args and hasattr(args[0], "shape") and not hasattr(args[0], "columns") else None
        self._fitted.append(FittedScaler(transformer, row))


def _line(
    training: WatchedTraining, fitted: FittedScaler, all_fitted: list[FittedScaler], names: dict[str, Any]
) -> str:
    """Return the call that logs the model with its preprocessing, in the script's variable names."""
    model = next(iter(training.called.values()), None)
    words = [
        _name(model, names) or next(iter(training.models), "model"),
        f"preprocessor={_name(fitted.transformer, names) or 'scaler'}",
    ]
    frame, target = _origin(fitted, names)
    if not hasattr(fitted.transformer, "feature_names_in_"):
        dropped = "" if target is None else f".drop({target!r})"
        words.append(f"columns=list({frame}.columns{dropped})" if frame else "columns=[...]")
    encoder = next((each.transformer for each in all_fitted if hasattr(each.transformer, "classes_")), None)
    labels = _labels(names.get(frame), target)
    if encoder is not None and _name(encoder, names):
        words.append(f"classes={_name(encoder, names)}")
    elif labels:
        words.append(f"classes={labels}")
    if target is not None:
        words.append(f"target={target!r}")
    return f"tabstudio.log_model({', '.join(words)})"


def _name(value: object, names: dict[str, Any]) -> str:
    return next((name for name, held in names.items() if held is value and not name.startswith("_")), "")


def _origin(fitted: FittedScaler, names: dict[str, Any]) -> tuple[str, object]:
    """Return the name of the data frame that the scaler was fitted on, and its target column."""
    import numpy as np

    count = getattr(fitted.transformer, "n_features_in_", 0)
    for name, value in names.items():
        if not hasattr(value, "columns") or not hasattr(value, "iloc") or len(value) > MOST_ROWS:
            continue
        columns = list(value.columns)
        if fitted.row is None or len(columns) not in (count, count + 1):
            continue
        numbers = value.apply(_as_numbers).to_numpy(dtype=np.float64)
        row = np.asarray(fitted.row, dtype=np.float64).ravel()
        for index in range(len(columns)) if len(columns) == count + 1 else [None]:
            rest = numbers if index is None else np.delete(numbers, index, axis=1)
            if (rest == row).all(axis=1).any():
                return name, None if index is None else columns[index]
    return "", None


def _as_numbers(column: pd.Series) -> pd.Series:
    import pandas as pd

    return pd.to_numeric(column, errors="coerce")


def _labels(frame: pd.DataFrame | None, target: object) -> list[object]:
    """Return the labels of a target column, none if it has more than `MOST_CLASSES`."""
    if frame is None or target is None:
        return []
    labels = sorted(frame[target].dropna().unique().tolist(), key=str)
    return labels if len(labels) <= MOST_CLASSES else []
