"""A job as the command that does the same."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from tabstudio.recipes.names import spelled


def job_arguments(asked: Mapping[str, Any]) -> list[str]:
    """The words that follow `tabstudio` for what a job was asked for."""
    return shlex.split(job_command(asked))[1:]


def job_command(asked: Mapping[str, Any]) -> str:
    """The command, quoted for a shell."""
    parts = ["tabstudio", asked["kind"], shlex.quote(asked["table"]), spelled("target", asked["target"])]
    if asked["name"]:
        parts.append(spelled("name", asked["name"]))
    parts += [spelled(name, value) for name, value in asked["options"].items()]
    if not asked["register"]:
        parts.append("--no-register")
    if asked["resume"]:
        parts.append("--resume")
    return " ".join(parts)
