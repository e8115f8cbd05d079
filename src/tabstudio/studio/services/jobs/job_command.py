"""The command line that does the same as a job."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from tabstudio.recipes.names import spelled


def job_arguments(request: Mapping[str, Any]) -> list[str]:
    """Return the arguments that follow `tabstudio` for the request of a job."""
    return shlex.split(job_command(request))[1:]


def job_command(request: Mapping[str, Any]) -> str:
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
