"""Default names from file names, and options in the command line's spelling."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

_ENDINGS = re.compile(r"(\.(csv|tsv|txt|parquet|arrow|feather|ipc|gz|zst|bz2|xz))+$", re.IGNORECASE)


def stem(source: object) -> str:
    """A short name for what was read: `data/Breast cancer.csv.gz` -> `breast-cancer`.

    It holds lower-case letters, digits, `-`, `_` and `.`: good for a folder, a registered model and a URL.

    >>> stem("data/Breast cancer.csv.gz")
    'breast-cancer'
    """
    text = str(source) if isinstance(source, str | Path) else "table"
    last = [part for part in re.split(r"[\\/]", text) if part.strip("*?.")] or ["table"]
    name = _ENDINGS.sub("", last[-1])
    return re.sub(r"[^\w.]+", "-", name, flags=re.UNICODE).strip("-._").lower().replace("_", "-") or "table"


def spelled(name: str, value: object) -> str:
    """An option as the command line spells it, quoted for a shell.

    >>> spelled("learning_rate", 0.01), spelled("drop", ["id", "zip code"])
    ('--learning-rate 0.01', "--drop id --drop 'zip code'")
    """
    flag = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return flag if value else f"--no-{name.replace('_', '-')}"
    if isinstance(value, Mapping):
        return " ".join(f"{flag} {shlex.quote(f'{key}={kind}')}" for key, kind in value.items())
    if isinstance(value, tuple | list) and not all(isinstance(part, int) for part in value):
        return " ".join(f"{flag} {shlex.quote(str(part))}" for part in value)
    if isinstance(value, tuple | list):
        return f"{flag} {','.join(map(str, value))}"
    return f"{flag} {f'{value:.6g}' if isinstance(value, float) else shlex.quote(str(value))}"
