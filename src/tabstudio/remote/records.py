"""Our records made of the JSON that a studio answers with."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from tabstudio.registry.approvals import ApprovalRequest
from tabstudio.registry.records import Evidence, Transition

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from tabstudio.remote.connection import Connection

_Record = TypeVar("_Record")


def parse(connection: Connection, record: type[_Record], data: Mapping[str, object]) -> _Record:
    """Return a dataclass made of JSON; what a newer studio has added is passed over.

    Raises `TabstudioError` where a field is missing or of another type.
    """
    from pydantic import ValidationError

    try:
        parsed: _Record = _record_adapter(record).validate_python(data)  # type: ignore[arg-type] # a class can be hashed
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise connection.foreign(f"{record.__name__}.{where}: {fault['msg']}") from error
    return parsed


def transition(connection: Connection, data: Mapping[str, Any]) -> Transition:
    """Return a row of a history; what a newer studio has added to its evidence is kept."""
    return parse(connection, Transition, {**data, "evidence": Evidence.from_json(data["evidence"])})


def approval_request(connection: Connection, data: Mapping[str, Any]) -> ApprovalRequest:
    """Return a request with its answers."""
    return ApprovalRequest(
        transition(connection, data["asked"]),
        tuple(transition(connection, row) for row in data["approvals"]),
        transition(connection, data["closed"]) if data["closed"] else None,
    )


@cache
def _record_adapter(record: type[_Record]) -> TypeAdapter[_Record]:
    from pydantic import TypeAdapter

    return TypeAdapter(record)
