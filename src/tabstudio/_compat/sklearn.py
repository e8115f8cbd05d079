"""Private names of scikit-learn. Importing this does not import scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sklearn.compose import ColumnTransformer


def input_positions(transformer: ColumnTransformer) -> Mapping[str, Sequence[int]]:
    """Return, by the name of each part of a fitted `ColumnTransformer`, the columns that it takes."""
    positions: Mapping[str, Sequence[int]] = transformer._transformer_to_input_indices
    return positions
