"""What came of a reproduction, as data: what was checked, what came out different."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

MOST_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Check:
    """Something that was as it is now, or was not."""

    name: str
    recorded: str
    now: str
    same: bool


@dataclass(frozen=True, slots=True)
class Deviation:
    """A difference: in which file or figure, in what of it, and how much."""

    where: str
    what: str
    detail: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Reproduction:
    """A training done again. `bundle` stands for the model that it was held against.

    `deviations` is empty where every weight, every prediction of a test row and every figure came out the
    same to the last bit.
    """

    address: str
    bundle: str
    checks: Sequence[Check]
    deviations: Sequence[Deviation]
    seconds: float

    @property
    def identical(self) -> bool:
        """Whether the second model has the same bits."""
        return not self.deviations

    @property
    def sentence(self) -> str:
        """The outcome in one sentence."""
        if self.identical:
            return f"{self.address} was made again: weights, answers and figures are the same to the last bit"
        changed = [check.name for check in self.checks if not check.same]
        why = f"; not as then: {', '.join(changed)}" if changed else ", though all else is as then"
        return f"{self.address} came out different in {len(self.deviations):,} places{why}"

    def text(self) -> str:
        """All of it, for a terminal."""
        width = max(len(check.name) for check in self.checks)
        lines = [_line(check, width) for check in self.checks]
        lines += ["", f"{self.sentence} ({self.seconds:.1f} s)."]
        lines += [f"  {deviation}" for deviation in self.deviations[:MOST_SHOWN]]
        if len(self.deviations) > MOST_SHOWN:
            lines.append(f"  and {len(self.deviations) - MOST_SHOWN:,} more")
        return "\n".join(lines)

    def to_json(self) -> dict[str, object]:
        """A plain dictionary for `json.dumps`."""
        return {**asdict(self), "identical": self.identical}

    def facts(self) -> dict[str, Any]:
        """What the history keeps of it, and the gate `reproduces` reads."""
        return {
            "reproduction": {
                "bundle": self.bundle,
                "identical": self.identical,
                "differences": [str(deviation) for deviation in self.deviations[:MOST_SHOWN]],
                "checks": [asdict(check) for check in self.checks],
                "seconds": round(self.seconds, 1),
            }
        }

    def __repr__(self) -> str:
        return f"Reproduction({self.sentence})"


def _line(check: Check, width: int) -> str:
    name = check.name.ljust(width)
    if check.recorded == check.now:
        return f"  same     {name}  {check.recorded}"
    return f"  {'told' if check.same else 'CHANGED':8} {name}  {check.recorded}  ->  {check.now}"
