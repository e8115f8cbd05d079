"""The rooms of the house stand in a row, and each imports only what stands to its left."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parents[1]
SOURCE = HOUSE / "src" / "tabstudio"
ROW = (
    ("errors", "settings", "options", "_compat", "_util", "_version"),
    ("table",),
    ("report",),
    ("exploration",),
    ("model",),
    ("training",),
    ("evaluation",),
    ("tracking",),
    ("database",),
    ("autologging",),
    ("registry",),
    ("serving",),
    ("recipes",),
    ("estimators",),
    ("remote",),
    ("studio",),
    ("cli",),
)
PLACE = {room: place for place, rooms in enumerate(ROW) for room in rooms}
TYPES_ONLY = {("options", "table")}
"""The kinds and tasks of a schema are words of the configuration, too."""


def imported(path: Path) -> set[str]:
    """Rooms that a file imports, at its top or late, but not for its types alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    names = [
        node.module or ""
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and id(node) not in types and not node.level
    ]
    return {name.split(".")[1] for name in names if name.startswith("tabstudio.")}


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("room", [*PLACE])
def test_a_room_imports_what_stands_to_its_left(room):
    files = sorted((SOURCE / room).rglob("*.py")) or [SOURCE / f"{room}.py"]
    wrong = [
        f"{path.relative_to(SOURCE)} imports {other}"
        for path in files
        for other in sorted(imported(path))
        if other != room and PLACE[other] >= PLACE[room] and (room, other) not in TYPES_ONLY
        if not (PLACE[other] == PLACE[room] and room in ROW[0])
    ]
    assert wrong == []


def test_every_room_has_its_place_and_its_line_in_the_docs():
    rooms = {room_of(path) for path in SOURCE.rglob("*.py")} - {"__init__", "__main__"}
    assert rooms == set(PLACE)
    plan = (HOUSE / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
    folders = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists()}
    assert [room for room in sorted(folders) if f"| `{room}` |" not in plan] == []
