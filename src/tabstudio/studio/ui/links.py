"""Cells of tables that lead to other pages."""

from __future__ import annotations

from tabstudio.studio.ui.addresses import version_page
from tabstudio.studio.ui.tables import Cell, LinkCell


def version_link(model: str, version: int | str | None) -> Cell:
    """A version by its number; what is no number, such as the digest of a folder, stands for itself."""
    if version is None or not str(version).isdigit():
        return None if version is None else str(version)
    return LinkCell(f"version {version}", version_page(model, version))
