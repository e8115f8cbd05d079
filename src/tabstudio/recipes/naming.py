"""Names made from file names."""

from __future__ import annotations

import re
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
