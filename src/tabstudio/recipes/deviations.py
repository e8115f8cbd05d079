"""Everything in which one bundle's model differs from another's, bit by bit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tabstudio.recipes.reproduction import Deviation

if TYPE_CHECKING:
    from tabstudio.model.bundle import BundleRecord


def deviations(was: BundleRecord, now: BundleRecord) -> tuple[Deviation, ...]:
    """Where the model `now` is not the model `was`: what it is made of, its weights, answers and figures."""
    return (
        *_plain("schema.json", was.schema.to_json(), now.schema.to_json()),
        *_plain("encoder.json", was.encoder, now.encoder),
        *_weights(was.weights, now.weights),
        *_plain("network.json", was.network, now.network),
        *_plain("profile.json", was.profile, now.profile),
        *_answers(was, now),
        *_figures(was.report, now.report),
    )


def _plain(where: str, was: Any, now: Any, path: str = "") -> Iterator[Deviation]:
    """Every leaf of two JSON values that is not the same."""
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        for key in dict.fromkeys((*was, *now)):
            yield from _plain(where, was.get(key), now.get(key), f"{path}.{key}" if path else str(key))
    elif _is_list(was) and _is_list(now) and len(was) == len(now):
        for place, pair in enumerate(zip(was, now, strict=True)):
            yield from _plain(where, *pair, f"{path}[{place}]")
    elif was != now:
        yield Deviation(where, path, _change(was, now))


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _change(was: Any, now: Any) -> str:
    gap = f", by {abs(now - was):.3g}" if _is_number(was) and _is_number(now) else ""
    return f"{_short(was)} then, {_short(now)} now{gap}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(value: Any) -> str:
    text = repr(value) if value is not None else "nothing"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _weights(was: bytes, now: bytes) -> Iterator[Deviation]:
    from safetensors.numpy import load

    before, after = load(was), load(now)
    for name in sorted({*before, *after}):
        yield from _tensor("weights.safetensors", name, before.get(name), after.get(name))


def _tensor(where: str, name: str, was: Any, now: Any) -> Iterator[Deviation]:
    if was is None or now is None:
        yield Deviation(where, name, "missing now" if now is None else "was not there")
    elif was.shape != now.shape or was.dtype != now.dtype:
        yield Deviation(where, name, f"{was.dtype} {was.shape} then, {now.dtype} {now.shape} now")
    elif was.tobytes() != now.tobytes():
        gap = np.abs(was.astype(np.float64) - now.astype(np.float64))
        yield Deviation(
            where,
            name,
            f"{int((was != now).sum()):,} of {was.size:,} values differ, by {gap.max():.3g} at most",
        )


def _answers(was: BundleRecord, now: BundleRecord) -> Iterator[Deviation]:
    if was.evidence is None or now.evidence is None:
        return
    before, after = was.evidence.tensors(), now.evidence.tensors()
    for name in before:
        yield from _tensor("evidence.safetensors", name, before[name], after[name])


def _figures(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Deviation]:
    for part in ("test", "validation"):
        if was.get(part) is not None:
            yield from _plain("report.json", was[part], now[part], part)
    yield from _plain("report.json", was.get("slices", []), now["slices"], "slices")
