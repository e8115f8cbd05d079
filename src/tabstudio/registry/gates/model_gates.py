"""Gates that try the model itself: its files, its schema, loading, answering in time, being made again."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial

import polars as pl

from tabstudio.errors import ModelError
from tabstudio.model.profile import typical_rows
from tabstudio.registry.gates.candidate import GateCandidate
from tabstudio.registry.gates.rules import LatencyGate
from tabstudio.registry.records import GateResult
from tabstudio.registry.schema_changes import changes
from tabstudio.report.text_format import format_size as as_size

TRIES, BATCH_TRIES = 25, 5
"""How often a row and a batch are timed; the median counts."""


def bundle(case: GateCandidate) -> GateResult:
    """Every file of the bundle is what its manifest says. Needs no torch."""
    sizes = case.candidate.record.sizes
    measured = f"{len(sizes)} files of {as_size(sum(sizes.values()))}"
    return GateResult("bundle", True, measured, "every file as its manifest says")


def size(case: GateCandidate, bound: int) -> GateResult:
    """The files of the bundle together."""
    total = sum(case.candidate.record.sizes.values())
    return GateResult("size", total <= bound, as_size(total), f"at most {as_size(bound)}")


def schema(case: GateCandidate, how: str) -> GateResult:
    """What is sent to the version in the stage can be sent to this one, and its answers mean the same."""
    required = "the same columns and classes" if how == "strict" else "requests of today still fit"
    if case.served is None:
        return GateResult("schema", True, "nothing else is in the stage", required)
    differences = changes(case.served.record.schema, case.candidate.record.schema)
    breaking = [change for change in differences if change.breaking or how == "strict"]
    measured = f"{len(differences)} changes, {len(breaking)} that break" if differences else "no change"
    return GateResult("schema", not breaking, measured, required, "; ".join(map(str, differences)))


def loads(case: GateCandidate) -> GateResult:
    """The network is built from the bundle and answers a row, where the bundle knows what rows look like."""
    model, required = case.candidate.model, "loads and answers a row"
    shape = f"{len(model.pack)} networks, {model.target.task}"
    if not model.profile.get("columns"):
        return GateResult("loads", True, f"loaded: {shape}", required, "there is no profile to make a row of")
    answers = model.answers(_trial_rows(case, 1))
    return GateResult("loads", len(answers) == 1, f"loaded and answered: {shape}", required)


def latency(case: GateCandidate, bound: LatencyGate) -> Iterator[GateResult]:
    """Milliseconds from raw rows to answers, here and now, the median of several tries."""
    model = case.candidate.model
    for name, most, rows, tries in (
        ("row", bound.row, 1, TRIES),
        ("batch", bound.batch, bound.rows, BATCH_TRIES),
    ):
        if most is None:
            continue
        frame = _trial_rows(case, rows)
        median = _milliseconds(partial(model.predict_frame, frame), tries)
        what = "a row" if rows == 1 else f"{rows:,} rows"
        yield GateResult(
            f"latency.{name}", median <= most, f"{median:.2f} ms for {what}", f"at most {most:g} ms"
        )


def reproduces(case: GateCandidate) -> GateResult:
    """The history notes that this very bundle was made again, to the same bits."""
    required = "made again to the same bits"
    digest = case.candidate.record.digest
    reproductions = [note["reproduction"] for note in case.notes() if "reproduction" in note]
    reproductions = [reproduction for reproduction in reproductions if reproduction["bundle"] == digest]
    way = f"run `tabstudio reproduce {case.version.address} --record`"
    if not reproductions:
        raise ModelError(f"no reproduction of this version was recorded: {way}")
    latest = reproductions[0]
    if latest["identical"]:
        return GateResult("reproduces", True, "identical", required)
    differences = "; ".join(latest["differences"][:3])
    return GateResult("reproduces", False, "it came out different", required, f"{differences}: {way} again")


def _trial_rows(case: GateCandidate, rows: int) -> pl.DataFrame:
    record = case.candidate.record
    if not record.profile.get("columns"):
        raise ModelError("the bundle has no profile of the training rows, so there is nothing to try it with")
    return typical_rows(record.profile, record.schema, rows)


def _milliseconds(call: Callable[[], object], tries: int) -> float:
    call()  # the first one sets threads and buffers up
    milliseconds = []
    for _ in range(tries):
        start = time.perf_counter()
        call()
        milliseconds.append(1e3 * (time.perf_counter() - start))
    return statistics.median(milliseconds)
