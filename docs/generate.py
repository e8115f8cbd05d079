"""Write the pages that are made from the code: command line, options, settings, architecture."""

from __future__ import annotations

import ast
import inspect
from graphlib import TopologicalSorter
from pathlib import Path

from tabstudio.cli.app import build_app
from tabstudio.options import GROUPS, OPTIONS, Declared, used_by
from tabstudio.settings import SETTINGS

HERE = Path(__file__).parent
SOURCE = HERE.parent / "src" / "tabstudio"
WIDTH = 640
SVG = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"
 font-family="sans-serif" font-size="14">
<title>The packages of tabstudio: each imports what an arrow leads to, and what that imports</title>
<style>
rect {{fill: #fff; stroke: #4c5c73}}
text {{fill: #1f2937; text-anchor: middle}}
line {{stroke: #8a97a8}}
</style>
<defs><marker id="head" markerWidth="8" markerHeight="8" refX="6" refY="3" orient="auto">
<path d="M0,0 L6,3 L0,6 z" fill="#8a97a8"/></marker></defs>
<rect x="0" y="0" width="{width}" height="{height}" style="stroke: none"/>
{arrows}
{boxes}
</svg>
"""


def command_line() -> str:
    """`docs/reference/command-line.md`: every command with its arguments and options."""
    parts = ["# The command line\n", "This page is made from the commands themselves: `make docs`.\n"]
    for name, command in build_app().commands.items():
        parts.append(f"## tabstudio {name}\n\n{inspect.cleandoc(command.help or '')}\n")
        rows = []
        for parameter in command.params:
            words = [*parameter.opts, *parameter.secondary_opts]
            spelled = (
                ", ".join(f"`{word}`" for word in words)
                if words[0].startswith("-")
                else f"`{words[0].upper()}`"
            )
            rows.append(f"| {spelled} | {getattr(parameter, 'help', '') or ''} |")
        parts.append("\n".join(["| option | meaning |", "| --- | --- |", *rows]) + "\n")
    return "\n".join(parts)


OPTIONS_HEAD = """# Options

Every option of a training, by the name that it has in Python and in a file for `--config`; on the command
line `batch_size` is `--batch-size`, and an option given there wins over the file. The range is where
`tabstudio sweep` and `--search` look, unless the option is given. This page is made from the
code: `make docs`.
"""


ESTIMATORS = """## scikit-learn's estimators

`TabularClassifier` and `TabularRegressor` have these options as parameters, by the same names and with
the same defaults: {names}. Their seed is `random_state`, and `network` may be a factory of your own.
"""


def options() -> str:
    """`docs/reference/options.md`: every option of a training."""
    parts = [OPTIONS_HEAD]
    for section, title in GROUPS.items():
        head = f"## {title}\n\n| option | meaning | where it is left open | values | range of the search |"
        rows = [_row(option) for option in OPTIONS.values() if option.section == section]
        parts.append("\n".join([head, "| --- | --- | --- | --- | --- |", *rows, ""]))
    names = ", ".join(f"`{option.name}`" for option in used_by("estimators"))
    return "\n".join([*parts, ESTIMATORS.format(names=names)])


def _row(declared: Declared) -> str:
    option = declared.option
    bound = declared.bound.text.removesuffix(" were").removesuffix(" was") if declared.bound else ""
    values = ", ".join(declared.words) or bound
    return f"| `{declared.name}` | {option.help} | {declared.unset} | {values} | {option.search or ''} |"


def settings() -> str:
    """`docs/reference/settings.md`: every environment variable."""
    rows = [f"| `{s.name}` | {s.default or ''} | {s.help} |" for s in SETTINGS]
    head = (
        "# Settings\n\nEnvironment variables that are read. This page is made from the code: `make docs`.\n"
    )
    return "\n".join([head, "| variable | default | meaning |", "| --- | --- | --- |", *rows]) + "\n"


def architecture() -> str:
    """`docs/pictures/architecture.svg`: the packages by level, with the imports between them.

    A package stands one level below the deepest package that it imports. An arrow that follows from others is
    left out.
    """
    packages = sorted(path.parent.name for path in SOURCE.glob("*/__init__.py"))
    packages = [name for name in packages if not name.startswith("_") and name != "options"]
    imports = {name: _imported(SOURCE / name) & set(packages) - {name} for name in packages}
    levels: dict[str, int] = {}
    for name in TopologicalSorter(imports).static_order():
        levels[name] = 1 + max((levels[other] for other in imports[name]), default=-1)
    rows = [[name for name in packages if levels[name] == level] for level in range(max(levels.values()) + 1)]
    at = {
        name: (WIDTH * (i + 1) / (len(row) + 1), 40 + 62 * y)
        for y, row in enumerate(rows)
        for i, name in enumerate(row)
    }
    arrows = [
        _arrow(at[name], at[other])
        for name in packages
        for other in sorted(imports[name])
        if not any(other in _reached(between, imports) for between in imports[name] - {other})
    ]
    boxes = [
        f'<rect x="{x - 55:g}" y="{y - 17:g}" width="110" height="34" rx="6"/>'
        f'<text x="{x:g}" y="{y + 5:g}">{name}</text>'
        for name, (x, y) in at.items()
    ]
    return SVG.format(
        width=WIDTH, height=62 * len(rows) + 20, arrows="\n".join(arrows), boxes="\n".join(boxes)
    )


def _imported(package: Path) -> set[str]:
    """Packages that the files of one package import, at their top or late, but not for their types alone."""
    names = set()
    for path in package.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                node.body = []
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tabstudio."):
                names.add((node.module or "").split(".")[1])
    return names


def _reached(name: str, imports: dict[str, set[str]]) -> set[str]:
    return imports[name].union(*(_reached(other, imports) for other in imports[name]))


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    (x1, y1), (x2, y2) = start, end
    return f'<line x1="{x1:g}" y1="{y1 - 17:g}" x2="{x2:g}" y2="{y2 + 21:g}" marker-end="url(#head)"/>'


PAGES = {
    "reference/command-line.md": command_line,
    "reference/options.md": options,
    "reference/settings.md": settings,
    "pictures/architecture.svg": architecture,
}

if __name__ == "__main__":
    for page, write in PAGES.items():
        (HERE / page).write_text(write(), encoding="utf-8")
