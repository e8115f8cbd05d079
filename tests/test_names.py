"""Modules and classes are found by their names: nouns of the field, each once. No imports run in a circle."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "src"
MODULES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(SOURCE.rglob("*.py"))
    if "migrations" not in path.parts
}
TERMS = {
    "autologging",
    "batching",
    "encoding",
    "extended_training",
    "lightning",
    "packing",
    "preprocessing",
    "serving",
    "successive_halving",
    "tracing",
    "tracking",
    "training",
}
"""Gerunds that are the field's own nouns, and a library's name."""


def test_no_module_is_called_by_a_gerund_that_is_no_term_of_the_field():
    stems = {module.rpartition(".")[2] for module in MODULES}
    assert sorted(stem for stem in stems - TERMS if stem.endswith("ing")) == []


def test_no_two_public_classes_have_one_name():
    homes: dict[str, list[str]] = defaultdict(list)
    for module, path in MODULES.items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(module)
    assert {name: modules for name, modules in homes.items() if len(modules) > 1} == {}


def imports(node: ast.AST) -> Iterator[str]:
    """Modules of ours that a file imports, at its top or late, but not for its types alone."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, ast.ImportFrom) and child.module:
            for alias in child.names:
                module = f"{child.module}.{alias.name}"
                yield module if module in MODULES else child.module
        elif isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        yield from imports(child)


def test_imports_run_in_no_circle_not_even_late_ones():
    graph = {
        module: {name for name in imports(ast.parse(path.read_text(encoding="utf-8"))) if name in MODULES}
        - {module}
        for module, path in MODULES.items()
    }
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle
