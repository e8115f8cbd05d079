"""`compare`: from two addresses to everything in which the models differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tabstudio.evaluation.evaluate import evaluate
from tabstudio.evaluation.evaluation_result import Evaluation
from tabstudio.evaluation.paired_bootstrap import Difference
from tabstudio.evaluation.paired_bootstrap import compare as compare_answers
from tabstudio.evaluation.prediction_flips import flips
from tabstudio.evaluation.slices import SliceDifference, compare_slices
from tabstudio.model.bundle import Factory
from tabstudio.registry.compared_model import ComparedModel
from tabstudio.registry.comparison.result import Comparison, MetricGap, SliceGap, Winner
from tabstudio.registry.downloads import Downloads
from tabstudio.registry.model_addresses import resolve
from tabstudio.registry.paired_predictions import PairedPredictions, pair
from tabstudio.registry.schema_changes import changes

_OF_DATA = ("name", "rows", "fingerprint", "train_rows", "test_rows", "split")


def compare(
    first: str | Path,
    second: str | Path,
    *,
    data: str | Path | None = None,
    slices: Sequence[str] = (),
    networks: tuple[Factory | None, Factory | None] = (None, None),
    resamples: int = 1000,
    tracking_uri: str | None = None,
    registry_uri: str | None = None,
) -> Comparison:
    """Compare two models, of any addresses, on rows that neither was trained on.

    Parameters
    ----------
    first, second : str or path
        Addresses of the models. Differences are the second's minus the first's.
    data : path, optional
        The rows; by default the test rows that the bundles know, see `tabstudio.registry.paired_predictions`.
    slices : sequence of str
        Columns whose levels are compared one by one.
    networks : pair of callables
        The factories of models that were trained with one.
    resamples : int
        Paired bootstrap resamples behind the 95 % intervals.
    tracking_uri, registry_uri : str, optional
        MLflow's addresses; by default as MLflow's own settings say.

    Returns
    -------
    Comparison
        Differences with intervals, rows answered differently, slices, schemas and options that differ.

    Raises
    ------
    ModelError
        The models have different targets or classes.
    DataError
        There are no such rows.
    ConfigError
        A column does not exist.

    Examples
    --------
    >>> print(tabstudio.compare("models:/cancer/1", "models:/cancer/2"))  # doctest: +SKIP
    """
    with Downloads() as downloads:
        one, two = (
            ComparedModel(
                str(address),
                resolve(address, tracking_uri=tracking_uri, registry_uri=registry_uri, downloads=downloads),
                network,
            )
            for address, network in zip((first, second), networks, strict=True)
        )
        return _compared(one, two, data, slices, resamples)


def _compared(
    one: ComparedModel, two: ComparedModel, data: str | Path | None, slices: Sequence[str], resamples: int
) -> Comparison:
    pairs = pair(one, two, data, slices, trusting=True)
    thresholds = one.threshold, two.threshold
    compared = pairs.target, pairs.labels, pairs.second, pairs.first
    gaps = compare_answers(*compared, thresholds=thresholds[::-1], resamples=resamples)
    parts = compare_slices(pairs.columns, *compared, thresholds=thresholds[::-1], resamples=resamples)
    return Comparison(
        first=one.address,
        second=two.address,
        target=pairs.target,
        rows=len(pairs),
        source=pairs.source,
        how=pairs.how,
        notes=pairs.notes,
        metrics=tuple(_gap(difference) for difference in gaps.values()),
        slices=tuple(_slice_gap(part) for part in parts),
        thresholds=thresholds,
        evaluations=_evaluations(pairs, thresholds),
        config=tuple(_different(one.record.config, two.record.config)),
        data=tuple(_different(_data(one), _data(two))),
        environment=tuple(_different(*(side.record.report.get("environment", {}) for side in (one, two)))),
        schema=changes(one.record.schema, two.record.schema),
        flips=flips(pairs.target, pairs.labels, pairs.first, pairs.second, pairs.numbers, thresholds),
        answers=(pairs.labels, pairs.first, pairs.second),
    )


def _gap(difference: Difference) -> MetricGap:
    """`compare_answers` was handed the second model first: its gain is what a reader asks for."""
    names: dict[str, Winner] = {"first": "second", "second": "first", "neither": None}
    return MetricGap(
        difference.metric,
        difference.second,
        difference.first,
        difference.value,
        difference.low,
        difference.high,
        names[difference.better],
    )


def _slice_gap(part: SliceDifference) -> SliceGap:
    return SliceGap(part.column, part.level, part.rows, tuple(map(_gap, part.metrics.values())))


def _evaluations(
    pairs: PairedPredictions, thresholds: tuple[float | None, float | None]
) -> tuple[Evaluation, Evaluation]:
    one, two = (
        evaluate(pairs.target, pairs.labels, answers, threshold=threshold, resamples=0)
        for answers, threshold in zip((pairs.first, pairs.second), thresholds, strict=True)
    )
    return one, two


def _data(side: ComparedModel) -> dict[str, object]:
    return {name: side.data[name] for name in _OF_DATA if name in side.data}


def _different(
    first: Mapping[str, object], second: Mapping[str, object]
) -> Iterator[tuple[str, object, object]]:
    for name in dict.fromkeys((*first, *second)):
        if first.get(name) != second.get(name):
            yield name, first.get(name), second.get(name)
