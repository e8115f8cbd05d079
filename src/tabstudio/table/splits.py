"""Honest splits: a test part that is touched once, and folds inside the rest.

Rows that must not be torn apart (identical feature rows, rows of one group) form a unit; units are dealt
out so that each part has its share of each class, or of each tenth of the target's range for a regression.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from tabstudio.errors import ConfigError, DataError
from tabstudio.options import SplitConfig
from tabstudio.table.stratification import Array, count_units, deal, join_units, number_units, quantile_bins
from tabstudio.table.table import Note, Table, rows_error

_ONE_FOLD_SHARE = 0.2
_RARE_ROWS_SHARE = 0.05
_PARTS = {
    **dict.fromkeys(("train", "training", "learn", "fit"), "train"),
    **dict.fromkeys(("valid", "validation", "val", "dev", "eval"), "valid"),
    **dict.fromkeys(("test", "testing", "holdout", "hold-out"), "test"),
}


@dataclass(frozen=True, slots=True)
class Split:
    """Row numbers of the two parts, int64 and ascending, and the fold that holds out each row of `train`.

    `fold` is int16, -1 where no fold holds the row out. Rows in neither part are counted in `notes`.
    """

    train: Array
    test: Array
    fold: Array
    folds: int
    how: str
    notes: tuple[Note, ...] = ()

    def __repr__(self) -> str:
        head = (
            f"Split({len(self.train):,} to train, {len(self.test):,} to test, {self.folds} folds, {self.how})"
        )
        return "\n".join([head, *(f"  {note}" for note in self.notes)])


def split(table: Table, config: SplitConfig | None = None) -> Split:
    """Hold out rows for the test and assign the others to folds.

    Parameters
    ----------
    table : Table
        A table as `read` returns it.
    config : SplitConfig, optional
        Size of the test part, number of folds, seed; `group` keeps the rows of a group together, `time` tests
        on the latest rows and makes folds of contiguous spans of time, `column` holds a split that is given,
        whose validation rows become the only fold.

    Returns
    -------
    Split
        The rows of the training and the test part, and for each row (rows,) the fold that holds it out. The
        same seed gives the same split.

    Raises
    ------
    ConfigError
        A column does not exist or does not fit.
    DataError
        No honest split exists.

    Notes ----- Parts are stratified by class, or by tenths of a regression's target. Identical feature rows
    never stand on both sides. A class with too few rows for every fold and the test is kept in training, and
    said so.

    Examples
    --------
    >>> from tabstudio import read
    >>> table = read({"age": range(100), "paid": ["yes", "no"] * 50}, target="paid")
    >>> parts = split(table)
    >>> len(parts.train), len(parts.test)
    (76, 24)
    """
    config = config or SplitConfig()
    for name in (config.group, config.time, config.column):
        if name is not None:
            table.column(name)
    if config.column is not None:
        return _given(table, config)
    if config.time is not None:
        return _by_time(table, config, config.time)
    return _stratified(table, config)


def _stratified(table: Table, config: SplitConfig) -> Split:
    rng = np.random.default_rng(config.seed)
    unit, notes = _units(table, config)
    strata, always_train, folds, stratum_notes = _strata(table, unit, config)
    free = np.flatnonzero(~always_train)
    part = np.zeros(len(table), dtype=np.int64)
    part[free] = deal(unit[free], strata[free], [1 - config.test_size, config.test_size], rng)
    train, test = np.flatnonzero(part == 0), np.flatnonzero(part == 1)
    _check_parts(table, train, test, config)
    held = ~always_train[train]
    fold = np.full(len(train), -1, dtype=np.int16)
    fold[held] = _folds(unit[train][held], strata[train][held], folds, rng)
    how = "stratified by quantiles of the target" if _is_regression(table) else "stratified by class"
    if table.schema.target is None:
        how = "at random"
    if config.group is not None:
        how += f", groups of {config.group} kept together"
    return Split(train, test, fold, folds, how, (*notes, *stratum_notes))


def _folds(unit: Array, strata: Array, folds: int, rng: np.random.Generator) -> Array:
    """The fold of each row; a single fold holds out a fifth of the rows, the others are -1."""
    if folds == 1:
        return deal(unit, strata, [1 - _ONE_FOLD_SHARE, _ONE_FOLD_SHARE], rng) - 1
    return deal(unit, strata, [1 / folds] * folds, rng, rotate=True)


def _units(table: Table, config: SplitConfig) -> tuple[Array, list[Note]]:
    """Number of each row's unit, and notes on the units."""
    rows = len(table)
    unit = _identical(table)
    notes = []
    units = int(unit.max()) + 1
    if units < 4 * (config.folds + 1) <= rows:
        reason = (
            f"there are only {units} different rows: identical ones must stand in training and test alike"
        )
        notes.append(Note("identical rows", "not kept together", reason))
        unit = np.arange(rows)
    elif units < rows:
        notes.append(Note("identical rows", f"{rows - units:,} repeat others", "each stays with its copies"))
    if config.group is not None:
        groups, count, gaps = _group_numbers(table.frame[config.group])
        unit = join_units(unit, groups)
        notes.append(Note("groups", f"{count:,} of {config.group}", "rows of one group stay together" + gaps))
    return unit, notes


def _identical(table: Table) -> Array:
    features = [column.name for column in table.schema.features]
    if not features:
        return np.arange(len(table))
    return number_units(table.frame.select(features).hash_rows(seed=0).to_numpy())


def _group_numbers(series: pl.Series) -> tuple[Array, int, str]:
    gaps = series.is_null().to_numpy()
    number = series.rank("dense").cast(pl.Int64).fill_null(0).to_numpy().copy()
    count = int(number.max(initial=0))
    number[gaps] = count + 1 + np.arange(int(gaps.sum()))
    note = f"; {int(gaps.sum()):,} rows without one stand alone" if gaps.any() else ""
    return number_units(number), count, note


def _is_regression(table: Table) -> bool:
    return table.schema.target is not None and table.schema.target.task == "regression"


def _strata(table: Table, unit: Array, config: SplitConfig) -> tuple[Array, Array, int, list[Note]]:
    """Stratum of each row, the mask of rows kept in training, the number of folds, and notes."""
    rows = len(table)
    if table.schema.target is None or _is_regression(table):
        units = int(unit.max()) + 1
        folds, notes = _fewer_folds(config.folds, units - 1, f"there are {units} rows that differ")
        if folds < 1:
            raise DataError(
                f"{table.source.name}: {units} rows that differ cannot be split: 3 at least were expected"
            )
        values = table.labels() if table.schema.target else np.zeros(rows)
        return (
            quantile_bins(values, min(10, max(1, units // (3 * (folds + 1))))),
            np.zeros(rows, bool),
            folds,
            notes,
        )
    return _class_strata(table, unit, config)


def _fewer_folds(folds: int, most: int, reason: str) -> tuple[int, list[Note]]:
    if folds <= most:
        return folds, []
    return most, [Note("folds", str(most), f"{folds} were wanted, {reason}")]


def _class_strata(table: Table, unit: Array, config: SplitConfig) -> tuple[Array, Array, int, list[Note]]:
    target = table.schema.target
    assert target is not None
    labels = table.labels()
    count = np.bincount(labels, minlength=len(target.classes))
    units = count_units(labels, unit, len(target.classes))
    least = 1 if config.test_size > 0 else 0
    folds = config.folds
    while folds > 2 and not _enough(units, count, folds + least):
        folds -= 1
    rare = units < max(folds, 2) + least
    if (~rare).sum() < 2:
        names = ", ".join(f"{target.classes[c]!r} {units[c]}" for c in np.flatnonzero(rare)[:5])
        raise DataError(
            f"{table.source.name}: target {target.name!r}: too few rows that differ to split honestly"
            f" ({names}); at least {2 + least} in each of two classes were expected:"
            " one for the test, two for the folds"
        )
    notes = _fewer_folds(
        config.folds,
        folds,
        f"the smallest class has {int(units[~rare].min())} rows that differ",
    )[1]
    if rare.any():
        shown = ", ".join(f"{target.classes[c]} ({count[c]})" for c in np.flatnonzero(rare)[:8])
        more = f" and {int(rare.sum()) - 8} more" if rare.sum() > 8 else ""
        notes.append(
            Note(
                "rare classes",
                f"kept in training: {shown}{more}",
                f"too few rows for {folds} folds and a test",
            )
        )
    kept_units = np.zeros(int(unit.max()) + 1, bool)
    kept_units[unit[rare[labels]]] = True
    return labels, kept_units[unit], folds, notes


def _enough(units: Array, count: Array, needed: int) -> bool:
    """Whether two classes have enough rows for every fold and the other classes hold few rows."""
    rare = units < needed
    few_rows = count[rare].sum() <= _RARE_ROWS_SHARE * count.sum()
    return bool((~rare).sum() >= 2 and few_rows)


def _check_parts(table: Table, train: Array, test: Array, config: SplitConfig) -> None:
    if len(train) == 0 or (len(test) == 0 and config.test_size > 0):
        raise DataError(
            f"{table.source.name}: the {len(table):,} rows cannot be split into {1 - config.test_size:.0%}"
            f" to train and {config.test_size:.0%} to test: one side would be empty;"
            " give more rows, or fewer rows to a group"
        )


def _by_time(table: Table, config: SplitConfig, time: str) -> Split:
    """Test on the latest rows. Ties stay in training: every test row is later than all training rows."""
    moment = _row_times(table, time)
    order = np.sort(moment)
    cut = order[max(0, int(np.ceil(len(order) * (1 - config.test_size))) - 1)]
    late = moment > cut
    unit = _identical(table)
    notes = []
    left = np.zeros(len(table), bool)
    if config.group is not None:
        groups = _group_numbers(table.frame[config.group])[0]
        begun = np.zeros(int(groups.max()) + 1, bool)
        begun[groups[~late]] = True
        left = late & begun[groups]
        unit = join_units(unit, groups)
        if left.any():
            notes.append(
                Note(
                    "rows",
                    f"{int(left.sum()):,} left out",
                    f"later rows of a {config.group} that is trained on",
                )
            )
    tested = np.zeros(int(unit.max()) + 1, bool)
    tested[unit[late & ~left]] = True
    copies = ~late & tested[unit]
    if copies.any():
        notes.append(
            Note("rows", f"{int(copies.sum()):,} left out", "earlier copies of rows that are tested")
        )
    train, test = np.flatnonzero(~late & ~copies), np.flatnonzero(late & ~left)
    _check_parts(table, train, test, config)
    fold, folds = _spans(moment[train], unit[train], config.folds)
    how = f"by time: test is later than {cut_text(table, time, cut)}, folds are contiguous spans of {time}"
    return Split(
        train,
        test,
        fold,
        folds,
        how + (f", groups of {config.group} kept together" if config.group else ""),
        tuple(notes),
    )


def _row_times(table: Table, time: str) -> Array:
    series = table.frame[time]
    if table.schema[time].kind not in ("date", "number"):
        raise ConfigError(
            f"option time: column {time!r} holds {table.schema[time].kind} values;"
            " dates or numbers were expected"
        )
    if series.null_count():
        rows = [f"row {row + 1}" for row in series.is_null().arg_true().to_list()]
        raise rows_error(
            table.source.name, f"column {time!r} has no value, so that these rows have no place in time", rows
        )
    plain = series.cast(pl.Datetime("us")).cast(pl.Int64) if series.dtype.is_temporal() else series
    moments: Array = plain.to_numpy()
    return moments


def cut_text(table: Table, time: str, cut: float) -> str:
    """The time of the cut as text: a date, or the number itself."""
    return str(np.datetime64(int(cut), "us")) if table.frame[time].dtype.is_temporal() else str(cut)


def _spans(moment: Array, unit: Array, folds: int) -> tuple[Array, int]:
    """Contiguous spans of equally many rows; units that cross a border are held out with their latest row."""
    rank = np.unique(moment, return_inverse=True)[1]
    starts = np.searchsorted(np.sort(moment), moment, side="left")
    folds = min(folds, int(rank.max()) + 1)
    if folds == 1:
        fold = np.where(starts >= (1 - _ONE_FOLD_SHARE) * len(moment), 0, -1)
    else:
        fold = starts * folds // len(moment)
    latest = np.full(int(unit.max()) + 1, -1)
    np.maximum.at(latest, unit, fold)
    return latest[unit].astype(np.int16), folds


def _given(table: Table, config: SplitConfig) -> Split:
    """The split that a column holds. Equal rows in several parts are counted, not moved."""
    name = config.column
    assert name is not None
    words = table.frame[name].cast(pl.String).str.strip_chars().str.to_lowercase()
    parts = words.replace_strict(list(_PARTS), list(_PARTS.values()), default=None, return_dtype=pl.String)
    if parts.null_count():
        rows = [f"row {row + 1}: {words[row]!r}" for row in parts.is_null().arg_true().to_list()]
        raise rows_error(table.source.name, f"column {name!r}: train, validation or test was expected", rows)
    part = parts.to_numpy()
    train, test = np.flatnonzero(part != "test"), np.flatnonzero(part == "test")
    if not (part == "train").any() or len(test) == 0:
        raise DataError(
            f"{table.source.name}: column {name!r} gives {int((part == 'train').sum()):,} rows to train"
            f" and {len(test):,} to test: both were expected"
        )
    unit = _identical(table)
    shared = np.isin(unit[test], unit[train]).sum()
    notes = (
        [Note("identical rows", f"{shared:,} test rows repeat training rows", "the split was given")]
        if shared
        else []
    )
    held = part[train] == "valid"
    if held.any():
        return Split(train, test, np.where(held, 0, -1).astype(np.int16), 1, f"given by {name}", tuple(notes))
    inner = _stratified(table.take(train), replace(config, column=None, test_size=0.0))
    return Split(
        train, test, inner.fold, inner.folds, f"given by {name}, folds {inner.how}", (*notes, *inner.notes)
    )
