"""How a column of texts becomes numbers: topics, learned from the training rows, kept as plain data.

Words go through CRC-32, so a model means the same on every machine.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl

from tabstudio.model.column_encoders import NumberColumn, hashes
from tabstudio.model.inference.arrays import Array
from tabstudio.options import Scaling

if TYPE_CHECKING:
    from scipy.sparse import csr_array


BUCKETS = 4096
"""Words are hashed into so many."""
MOST_TOPICS, TEXTS_PER_TOPIC = 64, 20
"""Of few texts the further topics are noise."""
FEWEST_TEXTS = 2
"""A bucket that fewer training texts have words of is left out."""
FARTHEST = np.float32(3)
"""Topics are pressed smoothly into (-3, 3), as scaled numbers are."""
LEAST_SPREAD = 1e-3
"""Topics that vary less are not scaled up further."""
LEARNED_FROM = 20_000
"""Topics of longer columns are learned from that many evenly spaced rows."""


@dataclass(frozen=True, slots=True)
class TextColumn:
    """What a text is about, and its number of words.

    A text is a vector over hashed words: (1 + log count) * log(texts / texts with the word), of length 1. Its
    `topics` are the shares of it along the first singular vectors of the training texts (latent semantic
    analysis), all scaled alike: the most varied one is of unit size, the lesser ones stay small. `buckets`
    (b,) are the hashed words that are counted, `weights` (b,) their logarithms, `axes` the vectors (b,
    topics) as float16 in base64. With `pieces`, letters and digits are words of their own: C85 is "c" and
    "85".

    Source: feature hashing (Weinberger et al. 2009, arXiv:0902.2206); Deerwester et al., "Indexing by latent
    semantic analysis" (1990).
    """

    kind: ClassVar[str] = "text"
    name: str
    length: NumberColumn
    buckets: tuple[int, ...]
    weights: tuple[float, ...]
    topics: int
    axes: str
    pieces: bool = False

    @classmethod
    def fit(cls, series: pl.Series, scaling: Scaling, *, pieces: bool = False) -> TextColumn | None:
        """Learn from training values; None where all are missing."""
        words = _words_of_texts(series, pieces)
        length = NumberColumn.fit(_word_count(words), scaling)
        if length is None:
            return None
        counts = _counts(words.gather_every(-(-len(words) // LEARNED_FROM)))
        texts = np.bincount(counts.indices, minlength=BUCKETS)
        buckets = np.flatnonzero((texts >= FEWEST_TEXTS) & (texts < counts.shape[0]))
        weights = np.log(counts.shape[0] / texts[buckets])
        known = tuple(buckets.tolist()), tuple(weights.tolist())
        column = cls(series.name, length, *known, topics=0, axes="", pieces=pieces)
        axes = _axes(column._vectors(counts))
        coded = b64encode(axes.astype("<f2").tobytes()).decode()
        return replace(column, topics=axes.shape[1], axes=coded)

    @classmethod
    def from_json(cls, data: dict[str, Any], length: NumberColumn) -> TextColumn:
        """The column whose fields these are."""
        lists = {name: tuple(data[name]) for name in ("buckets", "weights")}
        return cls(**{**data, **lists, "length": length})

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns that `write` fills."""
        return self.length.names + tuple(f"{self.name} topic {index}" for index in range(self.topics))

    def write(self, series: pl.Series, out: Array) -> int:
        """Fill `out` (b, width) and return how many values were missing."""
        width = len(self.length.names)
        words = _words_of_texts(series, self.pieces)
        missing = self.length.write(_word_count(words), out[:, :width])
        out[:, width:] = self._topics(words)
        return missing

    def topics_of(self, series: pl.Series) -> Array:
        """The topics alone (n, topics)."""
        return self._topics(_words_of_texts(series, self.pieces))

    def without_topics(self) -> TextColumn:
        """The number of words alone."""
        return replace(self, buckets=(), weights=(), topics=0, axes="")

    def _topics(self, words: pl.Series) -> Array:
        if not self.topics:
            return np.empty((len(words), 0), dtype=np.float32)
        topics = np.asarray(self._vectors(_counts(words)) @ _decoded(self.axes, self.topics))
        return np.asarray(topics / np.sqrt(1 + np.square(topics / FARTHEST)))

    def _vectors(self, counts: csr_array) -> csr_array:
        """Weighted words (n, b) of length 1, or 0 where no word is known."""
        known = counts[:, list(self.buckets)]
        known.data = (1.0 + np.log(known.data)) * np.array(self.weights)[known.indices]
        rows = np.repeat(np.arange(known.shape[0]), np.diff(known.indptr))
        lengths = np.sqrt(np.bincount(rows, np.square(known.data), known.shape[0]))
        known.data = (known.data / np.maximum(lengths, 1e-12)[rows]).astype(np.float32)
        return known


def _axes(vectors: csr_array) -> Array:
    """Topics (b, topics): the directions that the vectors (n, b) stretch in most."""
    rows, width = vectors.shape
    topics = min(max(rows // TEXTS_PER_TOPIC, 1), MOST_TOPICS)
    if not width:
        return np.empty((0, 0))
    if width <= topics:
        axes = np.eye(width)
    else:
        from sklearn.utils.extmath import randomized_svd

        axes = randomized_svd(vectors, n_components=topics, random_state=0)[2].T
    return np.asarray(axes / max(float((vectors @ axes).std(axis=0).max()), LEAST_SPREAD))


@lru_cache(maxsize=16)
def _decoded(axes: str, topics: int) -> Array:
    return np.frombuffer(b64decode(axes), dtype="<f2").reshape(-1, topics).astype(np.float32)


def _words_of_texts(series: pl.Series, pieces: bool) -> pl.Series:
    word = r"[^\W\d_]+|\d+" if pieces else r"\w+"
    return series.cast(pl.String).str.to_lowercase().str.extract_all(word)


def _word_count(words: pl.Series) -> pl.Series:
    return words.list.len().cast(pl.Float64).log1p()


def _counts(words: pl.Series) -> csr_array:
    """How often each hashed word stands in each text (n, BUCKETS)."""
    from scipy.sparse import csr_array

    lengths = words.list.len().fill_null(0).to_numpy()
    tokens = words.filter(words.list.len() > 0).explode()
    places = np.repeat(np.arange(len(words)), lengths) * BUCKETS + hashes(tokens) % BUCKETS
    cells, counts = np.unique(places, return_counts=True)
    starts = np.searchsorted(cells, np.arange(len(words) + 1) * BUCKETS)
    return csr_array((counts.astype(np.float64), cells % BUCKETS, starts), shape=(len(words), BUCKETS))
