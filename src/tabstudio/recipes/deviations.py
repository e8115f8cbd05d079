"""Everything in which one bundle's model differs from another's, bit by bit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
import numpy.typing as npt

from tabstudio.recipes.reproduction import Deviation

if TYPE_CHECKING:
    from tabstudio.model.bundle import BundleRecord


def deviations(was: BundleRecord, now: BundleRecord) -> tuple[Deviation, ...]:
    """Return the differences of two models' bundles: schema, encoder, weights, predictions and figures."""
    return (
        *_differences("schema.json", was.schema.to_json(), now.schema.to_json()),
        *_differences("encoder.json", was.encoder, now.encoder),
        *_weights(was.weights, now.weights),
        *_differences("network.json", was.network, now.network),
        *_differences("profile.json", was.profile, now.profile),
        *_answers(was, now),
        *_figures(was.report, now.report),
    )


def _differences(where: str, was: object, now: object, path: str = "") -> Iterator[Deviation]:
    """Yield every leaf at which two JSON values differ."""
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        for key in dict.fromkeys((*was, *now)):
            yield from _differences(where, was.get(key), now.get(key), f"{path}.{key}" if path else str(key))
    elif _is_list(was) and _is_list(now) and len(was) == len(now):
        for index, pair in enumerate(zip(was, now, strict=True)):
            yield from _differences(where, *pair, f"{path}[{index}]")
    elif was != now:
        yield Deviation(where, path, _change(was, now))


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _change(was: object, now: object) -> str:
    gap = f", by {abs(now - was):.3g}" if _is_number(was) and _is_number(now) else ""
    return f"{_short(was)} then, {_short(now)} now{gap}"


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(value: object) -> str:
    text = repr(value) if value is not None else "nothing"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _weights(was: bytes, now: bytes) -> Iterator[Deviation]:
    from safetensors.numpy import load

    before, after = load(was), load(now)
    for name in sorted({*before, *after}):
        yield from _tensor_difference("weights.safetensors", name, before.get(name), after.get(name))


def _tensor_difference(
    where: str, name: str, was: npt.NDArray[Any] | None, now: npt.NDArray[Any] | None
) -> Iterator[Deviation]:
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
        yield from _tensor_difference("evidence.safetensors", name, before[name], after[name])


def _figures(was: Mapping[str, object], now: Mapping[str, object]) -> Iterator[Deviation]:
    for part in ("test", "validation"):
        if was.get(part) is not None:
            yield from _differences("report.json", was[part], now[part], part)
    yield from _differences("report.json", was.get("slices", []), now["slices"], "slices")
