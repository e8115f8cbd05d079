"""Requests for approval and their answers, read from the history: nothing of it is kept elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from tabstudio.errors import RegistryError
from tabstudio.registry.hash_chain import HistoryChain
from tabstudio.registry.records import Transition, TransitionKind
from tabstudio.registry.stage_rules import Stage

_SEARCHED_REQUESTS = 100
"""How many requests are looked through for open ones."""
_KINDS: tuple[TransitionKind, ...] = ("request", "approve", "reject", "promote")


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """One request to put a version into a stage: who asked, who agreed, and whether it is still open."""

    asked: Transition
    approvals: tuple[Transition, ...] = ()
    closed: Annotated[Transition | None, "What ended it; null while it is open."] = None

    @property
    def number(self) -> int:
        """The number of its row in the history."""
        return self.asked.number

    def to_json(self) -> dict[str, object]:
        """A plain dictionary for `json.dumps`."""
        return {
            "number": self.number,
            "model": self.asked.model,
            "version": self.asked.version,
            "stage": self.asked.to_stage,
            "asked": self.asked.to_json(),
            "approvals": [row.to_json() for row in self.approvals],
            "closed": self.closed.to_json() if self.closed else None,
        }


def requests(chain: HistoryChain, version: int, created: int) -> list[ApprovalRequest]:
    """Return every request for a version, the newest first."""
    rows = [row for row in chain.of_version(version, _KINDS) if row.created == created]
    return [_request(row, rows) for row in rows if row.kind == "request"]


def open_request(
    chain: HistoryChain, version: int, created: int, stage: str | None = None
) -> ApprovalRequest | None:
    """Return the newest open request for a version, to one stage or to any."""
    for request in requests(chain, version, created):
        if request.closed is None and stage in (None, request.asked.to_stage):
            return request
    return None


def all_open(chain: HistoryChain) -> list[ApprovalRequest]:
    """Return the open requests of a model, the newest first."""
    return [
        request
        for row in chain.rows(limit=_SEARCHED_REQUESTS, kinds=("request",))
        for request in requests(chain, row.version, row.created)
        if request.asked == row and request.closed is None
    ]


def check_approved(request: ApprovalRequest | None, stage: Stage, name: str, version: int) -> None:
    """Check that enough other people agreed to a promotion.

    Raises `RegistryError` saying what is missing, and how to get it.
    """
    if not stage.approvals:
        return
    if request is None:
        raise RegistryError(
            f"{name} {version}: {stage.name} needs the approval of {_people(stage.approvals)}; ask for it: "
            f"`tabstudio request {name} {version} --to {stage.name} --reason ...`"
        )
    missing = stage.approvals - len(request.approvals)
    if missing > 0:
        agreed = ", ".join(row.actor for row in request.approvals) or "nobody"
        raise RegistryError(
            f"{name} {version}: {stage.name} needs the approval of {_people(missing)} more, so far {agreed} "
            f"agreed; somebody else runs `tabstudio approve {name} {version}`"
        )


def check_may_answer(
    kind: Literal["approve", "reject"], request: ApprovalRequest, stage: Stage, actor: str
) -> None:
    """Check that a person may give an answer: everybody may take their own request back.

    Raises `RegistryError` saying why not.
    """
    who = f"{request.asked.model} {request.asked.version}: {actor}"
    if same_person(actor, request.asked.actor):
        if kind == "reject":
            return
        raise RegistryError(f"{who} asked for this; somebody else has to answer")
    if stage.approvers and not any(same_person(actor, name) for name in stage.approvers):
        raise RegistryError(f"{who} may not answer for {stage.name}; {', '.join(stage.approvers)} may")
    if kind == "approve" and any(same_person(actor, row.actor) for row in request.approvals):
        raise RegistryError(f"{who} has agreed already; an approval counts once")


def same_person(one: str, other: str) -> bool:
    """Whether two names are one person's: case and spaces around do not make another one."""
    return one.strip().casefold() == other.strip().casefold()


def _request(row: Transition, rows: list[Transition]) -> ApprovalRequest:
    answers = [answer for answer in reversed(rows) if answer.refers == row.number]
    approvals = tuple(answer for answer in answers if answer.kind == "approve")
    closed = next((answer for answer in answers if answer.kind in ("reject", "promote")), None)
    return ApprovalRequest(row, approvals, closed)


def _people(number: int) -> str:
    return "one other person" if number == 1 else f"{number} other people"
