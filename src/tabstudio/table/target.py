"""What is to be predicted: the task, the classes and the class of interest, each with its reason."""

from __future__ import annotations

from typing import cast

import polars as pl

from tabstudio.errors import ConfigError, DataError
from tabstudio.table.schema import Column, Label, Target, Task
from tabstudio.table.table import rows_error

_MOST_INTEGER_CLASSES = 20
_ROWS_PER_INTEGER_CLASS = 10
_SURELY_MANY = 1000
# fmt: off
_POSITIVE = frozenset((
    "1", "abnormal", "accepted", "anomalous", "anomaly", "approved", "attack", "bad", "bought", "churn",
    "churned", "click", "clicked", "converted", "dead", "death", "default", "defect", "defective",
    "died", "disease", "diseased", "event", "fail", "failed", "failure", "faulty", "fraud",
    "fraudulent", "ill", "left", "malignant", "poisonous", "pos", "positive", "present", "purchased",
    "readmitted", "sick", "spam", "success", "survived", "t", "true", "win", "won", "y", "yes",
))
_NEGATIVE = frozenset((
    "0", "absent", "alive", "benign", "control", "denied", "edible", "f", "false", "genuine", "good",
    "ham", "healthy", "legit", "legitimate", "lose", "lost", "n", "neg", "negative", "no", "none",
    "normal", "ok", "okay", "pass", "passed", "rejected", "stayed",
))
# fmt: on


def guess_target(
    values: pl.Series, column: Column, task: Task | None, positive: Label | None, source: str
) -> Target:
    """The target of a column, from its present values.

    Raises `DataError` where nothing can be learnt: one value, one row per class, a date, words for a
    regression; `ConfigError` where `task` or `positive` do not fit the column.
    """
    where = f"{source}: target {column.name!r}"
    if column.kind == "date":
        raise DataError(f"{where} holds dates: turn it into a number or into classes")
    if values.is_empty():
        raise DataError(f"{where} has no value in any row: there is nothing to predict")
    # Only long columns of numbers are estimated, and those of many values need no exact count.
    known = column.kind != "number" or column.unique > _SURELY_MANY
    distinct = column.unique if known else values.n_unique()
    if distinct == 1:
        raise DataError(
            f"{where} has the one value {values[0]!r} in all {len(values):,} rows:"
            " there is nothing to predict"
        )
    guessed, reason = _task(values, column, distinct)
    chosen = task or guessed
    reason = reason if task in (None, guessed) else f"{task} as told"
    if chosen == "regression":
        return _regression(values, column, reason, where)
    return _class_target(values, column.name, chosen, reason, positive, where, task_is_set=task is not None)


def _task(values: pl.Series, column: Column, distinct: int) -> tuple[Task, str]:
    if distinct == 2:
        return "binary", "two values"
    if column.kind != "number":
        return "multiclass", f"{distinct} words"
    if values.dtype == pl.Float64 and not _whole(values):
        return "regression", "numbers with fractions"
    few = distinct <= _MOST_INTEGER_CLASSES and len(values) >= _ROWS_PER_INTEGER_CLASS * distinct
    if few:
        return "multiclass", f"only {distinct} different integers; --task regression takes them as amounts"
    return "regression", f"{distinct} different integers: --task multiclass takes them as classes"


def _whole(values: pl.Series) -> bool:
    return bool((values == values.round()).all())


def _regression(values: pl.Series, column: Column, reason: str, where: str) -> Target:
    if column.kind != "number":
        numbers = values.cast(pl.String).cast(pl.Float64, strict=False)
        bad = [f"{value!r}" for value in values.filter(numbers.is_null()).unique().sort().head(6)]
        if not bad:
            bad = [f"column of kind {column.kind}"]
        raise rows_error(
            where, "a regression needs numbers, and these are none; correct them or choose another task", bad
        )
    return Target(column.name, "regression", reason=reason)


def _class_target(
    values: pl.Series,
    name: str,
    task: Task,
    reason: str,
    positive: Label | None,
    where: str,
    *,
    task_is_set: bool,
) -> Target:
    counts = values.value_counts(sort=True)
    largest = int(counts["count"][0])
    if largest == 1:
        raise DataError(
            f"{where} has another value in each of the {len(values):,} rows:"
            " classes that repeat were expected; is it an id?"
        )
    if not task_is_set and len(counts) > max(20, len(values) // 2):
        raise DataError(
            f"{where} has {len(counts):,} different values in {len(values):,} rows: these are no classes;"
            " is it an id or free text?"
        )
    if task == "binary" and len(counts) != 2:
        raise ConfigError(
            f"{where} has {len(counts)} values, a binary task has two: choose --task multiclass"
        )
    classes = cast("tuple[Label, ...]", tuple(counts[name].sort().to_list()))
    if task != "binary":
        if positive is not None:
            raise ConfigError(f"{where}: option positive is for two classes, and there are {len(classes)}")
        return Target(name, task, classes, reason=reason)
    chosen, why = _positive(classes, counts[name].to_list(), positive, where)
    return Target(name, task, classes, chosen, f"{reason}; {chosen!r} is the class of interest: {why}")


def _positive(
    classes: tuple[Label, ...], by_count: list[Label], positive: Label | None, where: str
) -> tuple[Label, str]:
    if positive is not None:
        for label in classes:
            if label == positive or str(label).casefold() == str(positive).casefold():
                return label, "as told"
        raise ConfigError(
            f"{where}: option positive: {positive!r} is no class; "
            f"the classes are {', '.join(map(repr, classes))}"
        )
    if not isinstance(classes[0], str):
        return classes[1], "the larger value"
    words = [str(label).strip().casefold() for label in classes]
    for label, word in zip(classes, words, strict=True):
        if word in _POSITIVE:
            return label, "the word says so"
    for label, other, word in zip(classes[::-1], classes, words, strict=True):
        if word in _NEGATIVE or word.startswith(("no ", "not ", "non-", "non ", "un")):
            return label, f"{other!r} says that nothing is the matter"
    return by_count[-1], "the rarer class"
