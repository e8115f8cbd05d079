"""The systems: each trains on some rows and answers for others, the way its own documentation shows.

A system takes `Parts`, the task, a seed and `Means`, and gives probabilities (rows, classes) in the sorted
order of the training part's labels, or values (rows,). None is tuned; those that can stop early do so on a
fifth of the training rows. Packages are imported when their system runs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.quality.tables import Parts


@dataclass(frozen=True)
class Means:
    """What a system may use: threads, and minutes where it takes such a bound."""

    threads: int
    minutes: float | None


System = Callable[[Parts, str, int, Means], np.ndarray]


def tabstudio(parts: Parts, task: str, seed: int, means: Means) -> np.ndarray:
    """The estimators as they come; with `--minutes` they get that time."""
    import tabstudio as ours

    kind = ours.TabularRegressor if task == "regression" else ours.TabularClassifier
    model = kind(random_state=seed, minutes=means.minutes).fit(parts.train, parts.target)
    return _answer(model, parts.test, task)


def linear(parts: Parts, task: str, seed: int, means: Means) -> np.ndarray:
    """Logistic or ridge regression behind skrub's encoding of a table."""
    from sklearn.linear_model import LogisticRegression, RidgeCV

    del seed, means
    return _piped(parts, task, RidgeCV() if task == "regression" else LogisticRegression(max_iter=1000))


def hist_gradient_boosting(parts: Parts, task: str, seed: int, means: Means) -> np.ndarray:
    """scikit-learn's boosted trees behind skrub's encoding of a table."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    del means
    kind = HistGradientBoostingRegressor if task == "regression" else HistGradientBoostingClassifier
    return _piped(parts, task, kind(random_state=seed))


def lightgbm(parts: Parts, task: str, seed: int, means: Means) -> np.ndarray:
    """LightGBM with early stopping."""
    import lightgbm as package

    kind = package.LGBMRegressor if task == "regression" else package.LGBMClassifier
    model = kind(n_estimators=3000, learning_rate=0.05, random_state=seed, n_jobs=means.threads, verbose=-1)
    held = _Held.of(parts, task, seed)
    stopping = package.early_stopping(100, verbose=False)
    model.fit(*held.fitted, eval_set=[held.watched], callbacks=[stopping])
    return held.spread(_answer(model, held.test, task), model)


def xgboost(parts: Parts, task: str, seed: int, means: Means) -> np.ndarray:
    """XGBoost with its own handling of categories and early stopping."""
    import xgboost as package

    kind = package.XGBRegressor if task == "regression" else package.XGBClassifier
    model = kind(
        n_estimators=3000,
        learning_rate=0.05,
        tree_method="hist",
        enable_categorical=True,
        early_stopping_rounds=100,
        random_state=seed,
        n_jobs=means.threads,
    )
    held = _Held.of(parts, task, seed)
    model.fit(*held.fitted, eval_set=[held.watched], verbose=False)
    return held.spread(_answer(model, held.test, task), model)


def catboost(parts: Parts, task: str, seed: int, means: Means) -> np.ndarray:
    """CatBoost with its own handling of categories and early stopping."""
    import catboost as package

    held = _Held.of(parts, task, seed)
    words = [name for name in held.test if isinstance(held.test[name].dtype, pd.CategoricalDtype)]
    kind = package.CatBoostRegressor if task == "regression" else package.CatBoostClassifier
    model = kind(
        iterations=2000,
        early_stopping_rounds=100,
        random_seed=seed,
        thread_count=means.threads,
        cat_features=words,
        verbose=False,
        allow_writing_files=False,
    )
    fitted, watched, test = (
        _as_words(frame, words) for frame in (held.fitted[0], held.watched[0], held.test)
    )
    model.fit(fitted, held.fitted[1], eval_set=(watched, held.watched[1]))
    return held.spread(_answer(model, test, task), model)


def autogluon(parts: Parts, task: str, seed: int, means: Means) -> np.ndarray:
    """AutoGluon's `medium_quality`, a minute unless told otherwise."""
    from autogluon.tabular import TabularPredictor

    del seed
    metric = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "root_mean_squared_error"}[task]
    with tempfile.TemporaryDirectory() as folder:
        model = TabularPredictor("the target", task, metric, path=folder, verbosity=0)
        model.fit(
            parts.train.assign(**{"the target": parts.target}),
            time_limit=60 * (means.minutes or 1),
            presets="medium_quality",
            num_cpus=means.threads,
        )
        if task == "regression":
            return np.asarray(model.predict(parts.test))
        found = model.predict_proba(parts.test)
        return np.asarray(found.reindex(columns=sorted(parts.target.unique()), fill_value=0.0))


def realmlp(parts: Parts, task: str, seed: int, means: Means) -> np.ndarray:
    """RealMLP_TD of pytabkit."""
    import pytabkit

    kind = pytabkit.RealMLP_TD_Regressor if task == "regression" else pytabkit.RealMLP_TD_Classifier
    return _pytabkit(kind, parts, task, seed, means)


def tabm(parts: Parts, task: str, seed: int, means: Means) -> np.ndarray:
    """TabM_D of pytabkit."""
    import pytabkit

    kind = pytabkit.TabM_D_Regressor if task == "regression" else pytabkit.TabM_D_Classifier
    return _pytabkit(kind, parts, task, seed, means)


SYSTEMS: dict[str, tuple[System, str]] = {
    "tabstudio": (tabstudio, "tabstudio"),
    "linear": (linear, "scikit-learn"),
    "hist_gradient_boosting": (hist_gradient_boosting, "scikit-learn"),
    "lightgbm": (lightgbm, "lightgbm"),
    "xgboost": (xgboost, "xgboost"),
    "catboost": (catboost, "catboost"),
    "autogluon": (autogluon, "autogluon.tabular"),
    "realmlp": (realmlp, "pytabkit"),
    "tabm": (tabm, "pytabkit"),
}
"""Systems and the packages whose versions are noted with their results."""


@dataclass(frozen=True)
class _Held:
    """Rows to fit and rows to watch while fitting, as (features, numbers); `classes` is their count."""

    fitted: tuple[pd.DataFrame, np.ndarray]
    watched: tuple[pd.DataFrame, np.ndarray]
    test: pd.DataFrame
    classes: int

    @classmethod
    def of(cls, parts: Parts, task: str, seed: int) -> _Held:
        """A fifth of the training rows is watched. A class that it would take whole is fitted as well."""
        from sklearn.model_selection import train_test_split

        train, test = _categories(parts.train, parts.test)
        classify = task != "regression"
        target = np.unique(parts.target, return_inverse=True)[1] if classify else parts.target.to_numpy()
        kept = classify and np.bincount(target).min() > 1
        fitted, watched = train_test_split(
            np.arange(len(target)), test_size=0.2, random_state=seed, stratify=target if kept else None
        )
        if classify:
            missing = np.setdiff1d(target, target[fitted])
            fitted = np.concatenate([fitted, np.flatnonzero(np.isin(target, missing))])
        return cls(
            (train.iloc[fitted], target[fitted]),
            (train.iloc[watched], target[watched]),
            test,
            int(target.max()) + 1 if classify else 0,
        )

    def spread(self, answer: np.ndarray, model: Any) -> np.ndarray:
        """Probabilities of the classes that a model knows, as those of all."""
        if not self.classes:
            return answer
        whole = np.zeros((len(answer), self.classes))
        whole[:, np.asarray(model.classes_).astype(int).ravel()] = answer
        return whole


def _answer(model: Any, test: pd.DataFrame, task: str) -> np.ndarray:
    return np.asarray(model.predict(test) if task == "regression" else model.predict_proba(test))


def _piped(parts: Parts, task: str, model: Any) -> np.ndarray:
    from skrub import tabular_pipeline

    return _answer(tabular_pipeline(model).fit(parts.train, parts.target), parts.test, task)


def _pytabkit(kind: Any, parts: Parts, task: str, seed: int, means: Means) -> np.ndarray:
    """Its networks take no gaps in numbers: these get the median."""
    train, test = _categories(parts.train, parts.test)
    middle = train.median(numeric_only=True)
    model = kind(random_state=seed, n_threads=means.threads, device="cpu")
    return _answer(model.fit(train.fillna(middle), parts.target.to_numpy()), test.fillna(middle), task)


def _categories(train: pd.DataFrame, test: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Words as categories that the training part shows; plain names for the columns."""
    train, test = train.copy(), test.copy()
    for name in train:
        if not pd.api.types.is_numeric_dtype(train[name]):
            words = [frame[name].astype("string") for frame in (train, test)]
            kind = pd.CategoricalDtype(sorted(words[0].dropna().unique()))
            train[name], test[name] = (column.astype(object).astype(kind) for column in words)
    names = [f"x{i}" for i in range(train.shape[1])]
    return train.set_axis(names, axis=1), test.set_axis(names, axis=1)


def _as_words(frame: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """CatBoost takes categories as plain words, and no gaps among them."""
    return frame.assign(**{name: frame[name].astype(object).fillna("no value").astype(str) for name in names})
