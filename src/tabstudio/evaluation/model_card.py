"""The model card, in Markdown: what the model is, how good, where it ends (Mitchell et al. 2019)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tabstudio.evaluation.evaluation_result import NAMES, number, report_cells
from tabstudio.evaluation.report_content import (
    ReportContent,
    data_rows,
    decision,
    how_measured,
    limits,
    made_with,
    score_headers,
    score_rows,
    slice_headers,
    slice_rows,
)

MOST_COLUMNS = 10


def card(body: str, address: str, *more: str) -> str:
    """The whole card of a model that `tabstudio.load(address)` gives; `more` are sections of their own."""
    return "\n\n".join([body, *more, "## How to use it", _use(address)]) + "\n"


def body(story: ReportContent) -> str:
    """What a card tells of a training. Everything in it was measured or chosen."""
    evaluation = story.evaluation
    parts = [
        f"# {plain(story.name)}",
        _what(story),
        "## How good it is",
        f"{how_measured(story).capitalize()}.",
        table(score_headers(story), score_rows(story)),
        *_verdict_lines(story),
    ]
    if evaluation.report and len(evaluation.classes) <= 30:
        head = ("class", "precision", "recall", "F1", "support")
        parts += ["### By class", table(head, [report_cells(row) for row in evaluation.report])]
    if story.slices:
        parts += [
            "### By slice",
            table(slice_headers(evaluation.task), slice_rows(evaluation.task, story.slices)),
        ]
    if decision(story):
        parts += ["## How it decides", _list(decision(story))]
    parts += ["## Data", table(("", ""), data_rows(story)), *_training_lines(story), *_importance(story)]
    parts += ["## Limits", _list(limits(story))]
    return "\n\n".join(parts)


def _what(story: ReportContent) -> str:
    evaluation = story.evaluation
    features = len(story.table.schema.features)
    if evaluation.task == "regression":
        goal = f"Predicts the value of {plain(evaluation.target)}"
    else:
        shown = [str(label) for label in evaluation.classes[:10]]
        more = len(evaluation.classes) - len(shown)
        names = ", ".join(map(plain, shown)) + (f" and {more} more" if more else "")
        goal = f"Predicts the class of {plain(evaluation.target)} ({names}) with a probability for each"
    state = " The training was interrupted." if story.partial else ""
    return f"{goal}, from {features} columns of a table.{state}"


def _verdict_lines(story: ReportContent) -> list[str]:
    if story.references is None:
        return []
    text = [story.references.verdict.sentence] if story.references.verdict else []
    return [_list([*text, *story.references.notes])] if text or story.references.notes else []


def _training_lines(story: ReportContent) -> list[str]:
    rows = [*story.training.items(), *made_with(story)]
    return ["## Training", table(("", ""), rows)] if rows else []


def _importance(story: ReportContent) -> list[str]:
    if story.importance is None or not story.importance.columns:
        return []
    rows = [
        (f"{rank}", column.column, f"{number(column.value)} ± {number(column.deviation)}")
        for rank, column in enumerate(story.importance.columns[:MOST_COLUMNS], 1)
    ]
    head = ("", "column", f"increase of the {NAMES[story.importance.metric]} when shuffled")
    return ["## What it relies on", table(head, rows)]


def _use(address: str) -> str:
    code = f'import tabstudio\n\nmodel = tabstudio.load("{address}")\nmodel.predict_frame(rows)'
    return (
        f"```python\n{code}\n```\n\nOr score a file: `tabstudio predict {address} rows.csv -o scored.parquet`"
    )


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; every cell is text, whatever signs it holds."""
    lines = ["| " + " | ".join(map(plain, headers)) + " |", "|" + " --- |" * len(headers)]
    lines += ["| " + " | ".join(plain(str(cell)) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {plain(item)}" for item in items)


def plain(text: str) -> str:
    """Text of the table as text: no HTML, no broken table, no line of its own."""
    flat = " ".join(text.split())
    for sign in ("\\", "|", "`", "*", "_", "[", "]"):
        flat = flat.replace(sign, "\\" + sign)
    return flat.replace("<", "&lt;").replace(">", "&gt;")
