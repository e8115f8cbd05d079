"""The command line that does the same as a job."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, TypedDict

from tabstudio.recipes.names import spelled

if TYPE_CHECKING:
    from tabstudio.studio.services.jobs.studio_jobs import JobKind


class JobRequest(TypedDict):
    """What a job does: `file` is the table's name, `table` its path, `name` the model's."""

    kind: JobKind
    table: str
    file: str
    target: str
    name: str
    options: dict[str, Any]
    register: bool
    resume: bool


def job_arguments(request: JobRequest) -> list[str]:
    """Return the arguments that follow `tabstudio` for the request of a job."""
    return shlex.split(job_command(request))[1:]


def job_command(request: JobRequest) -> str:
    """Return the command, quoted for a shell."""
    parts = [
        "tabstudio",
        request["kind"],
        shlex.quote(request["table"]),
        spelled("target", request["target"]),
    ]
    if request["name"]:
        parts.append(spelled("name", request["name"]))
    parts += [spelled(name, value) for name, value in request["options"].items()]
    if not request["register"]:
        parts.append("--no-register")
    if request["resume"]:
        parts.append("--resume")
    return " ".join(parts)
