"""Fitted scikit-learn transformers taken over as steps that are data.

Known are the scalers, `PowerTransformer`, `QuantileTransformer`, `Normalizer`, `Binarizer`,
`SimpleImputer`, `OneHotEncoder`, `OrdinalEncoder`, feature selection, `FunctionTransformer` of a NumPy
function, and `Pipeline`, `ColumnTransformer` and `FeatureUnion` of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from tabstudio._compat.sklearn import input_positions
from tabstudio.errors import ModelError
from tabstudio.model.transforms import (
    FUNCTIONS,
    Arithmetic,
    ChainTransform,
    Function,
    Impute,
    Level,
    LookupTransform,
    Parallel,
    Power,
    Quantile,
    RowNorm,
    Step,
)
from tabstudio.table.schema import Kind

if TYPE_CHECKING:
    from tabstudio.model.sklearn_protocols import (
        FittedColumnTransformer,
        FittedEncoder,
        FittedFunction,
        FittedImputer,
        FittedNormalizer,
        FittedPipeline,
        FittedPower,
        FittedQuantile,
        FittedSelector,
        FittedUnion,
        Floats,
        Objects,
        ScalerAttributes,
    )

Figure: TypeAlias = "float | Floats"
"""One number for all columns, or one per column (d,)."""

Origins = list[int | None]
"""For each column of a block, the index of its raw column, None where it is computed from several."""


@dataclass
class TransformerImport:
    """Converts fitted transformers; `kinds` holds the kind of each raw column, by index, that steps need."""

    columns: tuple[str, ...]
    kinds: dict[int, Kind] = field(default_factory=dict)

    def step(self, transformer: Any, origins: Origins) -> tuple[Step, Origins]:
        """Return the step of one fitted transformer, and the origins of its output columns.

        Raises `ModelError` naming a transformer that is not known or not fitted, or an option of it that
        cannot be kept.
        """
        if transformer is None or (isinstance(transformer, str) and transformer == "passthrough"):
            return ChainTransform(), origins
        name = type(transformer).__name__
        if hasattr(transformer, "get_support"):
            return self._selection(transformer, origins)
        if not type(transformer).__module__.startswith("sklearn.") or name not in _CONVERTERS:
            raise ModelError(
                f"preprocessor: {name} cannot be kept as data; known are {', '.join(_CONVERTERS)}. "
                "Do what it does before the rows come in, or keep the model without it"
            )
        _check_fitted(transformer, name)
        return _CONVERTERS[name](self, transformer, origins)

    def needs(self, origin: int | None, kind: Kind) -> None:
        """Note that a raw column is read as a kind. Raises `ModelError` where it is two at once."""
        if origin is None:
            return
        known = self.kinds.setdefault(origin, kind)
        if "category" in (known, kind) and known != kind:
            raise ModelError(
                f"preprocessor: column {self.columns[origin]!r} is used as {known} and as {kind}; "
                "give it to the table twice, under two names"
            )

    def numbers(self, origins: Origins) -> None:
        """Note that all these columns are numbers."""
        for origin in origins:
            self.needs(origin, "number")

    def _selection(self, selector: FittedSelector, origins: Origins) -> tuple[Step, Origins]:
        places = tuple(np.flatnonzero(selector.get_support()).tolist())
        return Parallel(((places, ChainTransform()),)), [origins[index] for index in places]


def _check_fitted(transformer: object, name: str) -> None:
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(transformer)
    except NotFittedError:
        raise ModelError(
            f"preprocessor: {name} is not fitted; a fitted one was expected, "
            "the one that the training rows went through"
        ) from None


def _arithmetic(operations: Sequence[tuple[str, Figure]], origins: Origins) -> Arithmetic:
    figures = [(name, np.broadcast_to(figure, len(origins))) for name, figure in operations]
    return Arithmetic(tuple((name, tuple(float(v) for v in column)) for name, column in figures))


def _scaler(taking: TransformerImport, scaler: ScalerAttributes, origins: Origins) -> tuple[Step, Origins]:
    taking.numbers(origins)
    return _arithmetic(_scaling(scaler), origins), origins


def _scaling(scaler: ScalerAttributes) -> list[tuple[str, Any]]:
    """The operations of a scaler, in its own order."""
    name = type(scaler).__name__
    if name == "MinMaxScaler":
        low, high = scaler.feature_range
        bounds = [("at least", low), ("at most", high)] if scaler.clip else []
        return [("multiply", scaler.scale_), ("add", scaler.min_), *bounds]
    if name == "MaxAbsScaler":
        bounds = [("at least", -1.0), ("at most", 1.0)] if getattr(scaler, "clip", False) else []
        return [("divide", scaler.scale_), *bounds]
    if name == "Binarizer":
        return [("exceeds", scaler.threshold)]
    centring, scaling, centre = (
        (scaler.with_mean, scaler.with_std, getattr(scaler, "mean_", None))
        if name == "StandardScaler"
        else (scaler.with_centering, scaler.with_scaling, getattr(scaler, "center_", None))
    )
    return [("subtract", centre)] * bool(centring) + [("divide", scaler.scale_)] * bool(scaling)


def _normalizer(
    taking: TransformerImport, normalizer: FittedNormalizer, origins: Origins
) -> tuple[Step, Origins]:
    taking.numbers(origins)
    return RowNorm(normalizer.norm), [None] * len(origins)


def _power(taking: TransformerImport, transformer: FittedPower, origins: Origins) -> tuple[Step, Origins]:
    taking.numbers(origins)
    step = Power(transformer.method, tuple(float(power) for power in transformer.lambdas_))
    if not transformer.standardize:
        return step, origins
    return ChainTransform((step, _arithmetic(_scaling(transformer._scaler), origins))), origins


def _quantile(
    taking: TransformerImport, transformer: FittedQuantile, origins: Origins
) -> tuple[Step, Origins]:
    taking.numbers(origins)
    quantiles = tuple(tuple(column) for column in transformer.quantiles_.T.tolist())
    normal = transformer.output_distribution == "normal"
    return Quantile(tuple(transformer.references_.tolist()), quantiles, normal), origins


def _function(
    taking: TransformerImport, transformer: FittedFunction, origins: Origins
) -> tuple[Step, Origins]:
    function = transformer.func
    if function is None:
        return ChainTransform(), origins
    if not isinstance(function, np.ufunc) or function.__name__ not in FUNCTIONS or transformer.kw_args:
        raise ModelError(
            f"preprocessor: FunctionTransformer of {getattr(function, '__name__', function)!r} is code, "
            f"which no model keeps; one of NumPy's {', '.join(FUNCTIONS)} was expected"
        )
    taking.numbers(origins)
    return Function(function.__name__), origins


def _imputer(taking: TransformerImport, imputer: FittedImputer, origins: Origins) -> tuple[Step, Origins]:
    fills = [_level(value) for value in imputer.statistics_]
    for origin, fill in zip(origins, fills, strict=True):
        if isinstance(fill, str):
            taking.needs(origin, "category")
        elif fill is not None:
            taking.numbers([origin])
    flags = tuple(imputer.indicator_.features_.tolist()) if imputer.add_indicator else ()
    sources: Origins = [origin for origin, fill in zip(origins, fills, strict=True) if fill is not None]
    return Impute(tuple(fills), _level(imputer.missing_values), flags), [*sources, *[None] * len(flags)]


def _level(value: object) -> Level | None:
    """A category or fill as data: text without the blanks around it, or a number; None is no value."""
    if value is None or type(value).__name__ == "NAType":
        return None
    if isinstance(value, str | np.str_):
        return str(value).strip() or None
    number = float(value)  # type: ignore[arg-type]  # NumPy's numbers and Python's
    return None if math.isnan(number) else number


def _encoder(taking: TransformerImport, encoder: FittedEncoder, origins: Origins) -> tuple[Step, Origins]:
    for origin, categories in zip(origins, encoder.categories_, strict=True):
        taking.needs(origin, _kind_of(categories))
    hot = type(encoder).__name__ == "OneHotEncoder"
    widths = _widths(encoder) if hot else None
    codes = _probed(encoder, widths)
    levels, known, missing, knows = zip(
        *(_levels_of(c, k) for c, k in zip(encoder.categories_, codes, strict=True)), strict=True
    )
    others = _unknown_codes(encoder, codes, hot)
    names = tuple("?" if origin is None else taking.columns[origin] for origin in origins)
    step = LookupTransform(
        names,
        levels,
        known,
        tuple(other if not there else gap for gap, there, other in zip(missing, knows, others, strict=True)),
        others,
        knows,
        encoder.handle_unknown == "error",
        widths,
    )
    return step, [None] * (sum(widths) if widths else len(origins))


def _kind_of(categories: Objects) -> Kind:
    levels = [level for level in categories.tolist() if level is not None and level == level]
    if any(isinstance(level, str) for level in levels):
        if not all(isinstance(level, str) for level in levels):
            raise ModelError(f"preprocessor: text and numbers are mixed among the categories {levels[:5]}")
        return "category"
    return "boolean" if levels and all(isinstance(level, bool) for level in levels) else "number"


def _widths(encoder: FittedEncoder) -> tuple[int, ...]:
    """Number of output columns of a OneHotEncoder, per input column."""
    rare = _infrequent(encoder)
    dropped = [None] * len(encoder.categories_) if encoder.drop_idx_ is None else encoder.drop_idx_
    return tuple(
        len(categories) - max(len(few) - 1, 0) - (drop is not None)
        for categories, few, drop in zip(encoder.categories_, rare, dropped, strict=True)
    )


def _infrequent(encoder: FittedEncoder) -> list[list[object]]:
    rare = getattr(encoder, "infrequent_categories_", None) or [None] * len(encoder.categories_)
    return [[] if few is None else few.tolist() for few in rare]


def _probed(encoder: FittedEncoder, widths: tuple[int, ...] | None) -> list[list[float]]:
    """The code of every category as the encoder itself transforms it, dropped and rare ones included."""
    sizes = [len(categories) for categories in encoder.categories_]
    probe = np.empty((max(sizes), len(sizes)), dtype=object)
    for index, categories in enumerate(encoder.categories_):
        probe[:, index] = [categories.tolist()[min(row, sizes[index] - 1)] for row in range(max(sizes))]
    answers = _default_codes(encoder, probe)
    if widths is None:
        return [answers[:size, index].tolist() for index, size in enumerate(sizes)]
    ends = np.cumsum(widths)
    if ends[-1] != answers.shape[1]:
        raise ModelError(f"preprocessor: OneHotEncoder gives {answers.shape[1]} columns, not {ends[-1]}")
    blocks = [answers[:size, end - width : end] for size, end, width in zip(sizes, ends, widths, strict=True)]
    return [[float(row.argmax()) if row.any() else -1.0 for row in block] for block in blocks]


def _default_codes(encoder: FittedEncoder, rows: Objects) -> Floats:
    """Rows transformed by an encoder, as a float64 array whatever its output container is."""
    from copy import copy
    from warnings import catch_warnings, simplefilter

    twin = copy(encoder)
    with catch_warnings():
        simplefilter("ignore")  # rows without names, which it saw in training
        twin.set_output(transform="default")
        answers = twin.transform(_typed(rows, encoder))
    return np.asarray(answers.toarray() if hasattr(answers, "toarray") else answers, dtype=np.float64)


def _typed(rows: Objects, encoder: FittedEncoder) -> Objects | Floats:
    """Rows of numbers as numbers: scikit-learn compares within one type."""
    numeric = all(categories.dtype.kind in "iufb" for categories in encoder.categories_)
    return rows.astype(np.float64) if numeric else rows


def _levels_of(
    categories: Objects, codes: Sequence[float]
) -> tuple[tuple[Level, ...], tuple[float, ...], float, bool]:
    """Levels, their codes, the code of no value, and whether there is one."""
    known: dict[Level, float] = {}
    missing, knows = math.nan, False
    for category, code in zip(categories.tolist(), codes, strict=True):
        level = _level(category)
        if level is None:
            missing, knows = code, True
        elif known.setdefault(level, code) != code:
            raise ModelError(
                f"preprocessor: two categories are {level!r} but for the blanks around them, and raw rows "
                "are read without; strip them before fitting"
            )
    return tuple(known), tuple(known.values()), missing, knows


def _unknown_codes(encoder: FittedEncoder, codes: list[list[float]], hot: bool) -> tuple[float, ...]:
    """The code of a level that is not known, per column."""
    if not hot:
        unknown = encoder.unknown_value if encoder.handle_unknown == "use_encoded_value" else math.nan
        return (float(unknown),) * len(codes)
    if encoder.handle_unknown not in ("infrequent_if_exist", "warn"):
        return (-1.0,) * len(codes)
    rare = _infrequent(encoder)
    return tuple(
        column[categories.tolist().index(few[0])] if few else -1.0
        for categories, column, few in zip(encoder.categories_, codes, rare, strict=True)
    )


def _pipeline(taking: TransformerImport, pipeline: FittedPipeline, origins: Origins) -> tuple[Step, Origins]:
    steps = []
    for _, transformer in pipeline.steps:
        step, origins = taking.step(transformer, origins)
        steps.append(step)
    return ChainTransform(tuple(steps)), origins


def _column_transformer(
    taking: TransformerImport, transformer: FittedColumnTransformer, origins: Origins
) -> tuple[Step, Origins]:
    places = input_positions(transformer)
    parts, outputs = [], []
    for name, inner, _ in transformer.transformers_:
        if isinstance(inner, str) and inner == "drop":
            continue
        chosen = tuple(int(index) for index in places[name])
        if not chosen:
            continue
        step, results = taking.step(inner, [origins[index] for index in chosen])
        parts.append((chosen, step))
        outputs += results
    return Parallel(tuple(parts)), outputs


def _union(taking: TransformerImport, union: FittedUnion, origins: Origins) -> tuple[Step, Origins]:
    everything = tuple(range(len(origins)))
    parts, outputs = [], []
    for name, inner in union.transformer_list:
        if isinstance(inner, str) and inner == "drop":
            continue
        if (union.transformer_weights or {}).get(name, 1) != 1:
            raise ModelError("preprocessor: a FeatureUnion with weights cannot be kept as data")
        step, results = taking.step(inner, origins)
        parts.append((everything, step))
        outputs += results
    return Parallel(tuple(parts)), outputs


_CONVERTERS: Mapping[str, Callable[[TransformerImport, Any, Origins], tuple[Step, Origins]]] = {
    "StandardScaler": _scaler,
    "MinMaxScaler": _scaler,
    "MaxAbsScaler": _scaler,
    "RobustScaler": _scaler,
    "Binarizer": _scaler,
    "Normalizer": _normalizer,
    "PowerTransformer": _power,
    "QuantileTransformer": _quantile,
    "FunctionTransformer": _function,
    "SimpleImputer": _imputer,
    "OneHotEncoder": _encoder,
    "OrdinalEncoder": _encoder,
    "Pipeline": _pipeline,
    "ColumnTransformer": _column_transformer,
    "FeatureUnion": _union,
}
