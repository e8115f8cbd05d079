"""Protocols of fitted scikit-learn transformers, which have no types: the attributes that are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Objects = npt.NDArray[np.object_]
"""Categories as scikit-learn keeps them: texts, numbers, booleans, None."""


class ScalerAttributes(Protocol):
    """A scaler or `Binarizer`; each has those attributes that its class has."""

    feature_range: tuple[float, float]
    clip: bool
    scale_: Floats
    min_: Floats
    threshold: float
    with_mean: bool
    with_std: bool
    with_centering: bool
    with_scaling: bool


class FittedSelector(Protocol):
    """A feature selection."""

    def get_support(self) -> npt.NDArray[np.bool_]:
        """Which columns stay (d,)."""


class FittedNormalizer(Protocol):
    """`Normalizer`: l1, l2 or max."""

    norm: str


class FittedPower(Protocol):
    """`PowerTransformer`."""

    method: str
    lambdas_: Floats
    standardize: bool
    _scaler: ScalerAttributes


class FittedQuantile(Protocol):
    """`QuantileTransformer`: quantiles (q, d) and references (q,)."""

    quantiles_: Floats
    references_: Floats
    output_distribution: str


class FittedFunction(Protocol):
    """`FunctionTransformer`."""

    @property
    def func(self) -> object:
        """The function, None for the identity."""

    kw_args: Mapping[str, object] | None


class FittedIndicator(Protocol):
    """`MissingIndicator`: the positions of the columns that get a flag."""

    features_: npt.NDArray[np.int64]


class FittedImputer(Protocol):
    """`SimpleImputer`."""

    statistics_: Objects
    indicator_: FittedIndicator
    add_indicator: bool
    missing_values: object


class FittedEncoder(Protocol):
    """`OneHotEncoder` and `OrdinalEncoder`; each has those attributes that its class has."""

    categories_: list[Objects]
    handle_unknown: str
    unknown_value: float
    drop_idx_: Sequence[int | None] | None

    def set_output(self, *, transform: str) -> object:
        """Set the container of what `transform` returns."""

    def transform(self, rows: Objects | Floats) -> object:
        """The codes of rows, as an array or a sparse matrix."""


class FittedPipeline(Protocol):
    """`Pipeline`: (name, transformer) in order."""

    steps: Sequence[tuple[str, object]]


class FittedColumnTransformer(Protocol):
    """`ColumnTransformer`: (name, transformer, columns)."""

    transformers_: Sequence[tuple[str, object, object]]


class FittedUnion(Protocol):
    """`FeatureUnion`: (name, transformer), all of the same columns."""

    transformer_list: Sequence[tuple[str, object]]
    transformer_weights: Mapping[str, float] | None
