"""MLflow's limits on names and values, and how what does not fit is made to fit.

The limits are those of MLflow 3 (`mlflow.utils.validation`). They stand here because the training process
does not import MLflow, and because a name must be settled before it is written to the spool: the same point
has to carry the same name however often it is sent.
"""

from __future__ import annotations

import hashlib
import posixpath
import re

from tabstudio.errors import ConfigError

SIZE_TAG = "tabstudio.size"
"""The tag of a registered version that holds the bytes of its artifacts."""
KEY_LENGTH = 250
PARAM_LENGTH = 6000
TAG_LENGTH = 8000
DIGEST_LENGTH = 36

_NOT_ALLOWED = re.compile(r"[^/\w.\- :]")


class Names:
    """Names of one namespace (the metrics of a run, say), each given one that MLflow takes.

    Two names never share one: `loss(a)` becomes `loss_a_`, a later `loss[a]` becomes `loss_a_-2`.
    """

    def __init__(self) -> None:
        self._given: dict[str, str] = {}
        self._taken: set[str] = set()

    def __getitem__(self, name: str) -> str:
        """Return the name used in MLflow."""
        if name not in self._given:
            self._given[name] = self._free(fitting(name))
        return self._given[name]

    def changed(self) -> dict[str, str]:
        """Return the changed names, each with its name in MLflow."""
        return {name: given for name, given in self._given.items() if name != given}

    def _free(self, name: str) -> str:
        candidate, number = name, 1
        while candidate in self._taken:
            number += 1
            candidate = f"{name[: KEY_LENGTH - 8]}-{number}"
        self._taken.add(candidate)
        return candidate


def fitting(name: str) -> str:
    """Return the closest name that MLflow takes for a metric, a parameter or a tag.

    >>> fitting("loss (valid, %)"), fitting("/a//b/../c")
    ('loss _valid_ __', 'a/c')
    """
    plain = posixpath.normpath(_NOT_ALLOWED.sub("_", str(name))).lstrip("/")
    while plain.startswith("../"):
        plain = plain[3:]
    if plain in ("", ".", ".."):
        plain = "_"
    if len(plain) <= KEY_LENGTH:
        return plain
    digest = hashlib.sha256(plain.encode()).hexdigest()[:8]
    return f"{plain[: KEY_LENGTH - 9]}-{digest}"


def shortened(text: str, limit: int) -> str:
    """Return the text, cut to `limit` characters where it is longer, and saying so.

    >>> shortened("x" * 100, 40)
    'xxxxxxxxxxx... (shortened, 100 in all)'
    """
    if len(text) <= limit:
        return text
    ending = f"... (shortened, {len(text)} in all)"
    return text[: limit - len(ending) - 2] + ending


_FIRST_TO_GO = ("Training", "What it relies on", "How it decides", "Data")


def abridged(card: str, limit: int, whole: str) -> str:
    """Return a card in Markdown, without some of its sections where it is longer than `limit` characters.

    `whole` is the command that shows all of it; the limits and the use of a model are the last to go.
    """
    sections = card.split("\n\n## ")
    gone: list[str] = []
    text = card
    for title in _FIRST_TO_GO:
        if len(text) <= limit:
            return text
        remaining = [section for section in sections if section.partition("\n")[0] != title]
        gone += [title] * (len(remaining) < len(sections))
        sections = remaining
        text = "\n\n## ".join(sections).rstrip() + f"\n\nLeft out here: {', '.join(gone)}; see `{whole}`.\n"
    return shortened(text, limit)


def check_model_name(name: str) -> str:
    """Return the name if it can be a registered model's. Raises `ConfigError` with one that can."""
    if name.strip() and len(name) <= KEY_LENGTH and not set("/:") & set(name) and fitting(name) != "_":
        return name
    better = re.sub(r"[/:]+", "-", name.strip()).strip("-. ")[:KEY_LENGTH] or "model"
    raise ConfigError(
        f"name {shortened(name, 80)!r}: a registered model's name is 1 to {KEY_LENGTH} characters "
        f"without '/' and ':'; use {shortened(better, 80)!r}, for example"
    )
