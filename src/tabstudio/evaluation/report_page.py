"""The evaluation report: one page that says how good the model is, and how far to trust that."""

from __future__ import annotations

from collections.abc import Mapping

from tabstudio.evaluation.evaluation_result import NAMES, Evaluation, number, report_cells
from tabstudio.evaluation.report_content import (
    HEADLINE,
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
from tabstudio.report.page import Block, CalloutBlock, FactsBlock, Page, PictureBlock, TableBlock, TextBlock

CAPTIONS = {
    "loss": "Losses by epoch. Early stopping keeps each member's weights of its best epoch.",
    "confusion": "Rows are what was true, columns what was said.",
    "roc": "The share of positives found against the share of false alarms.",
    "precision_recall": "How many of those called positive are, against how many of the positives are found.",
    "calibration": "Where probabilities can be trusted, points lie on the line. Bars are 95 % intervals.",
    "threshold": "What other thresholds would give on the test rows. The choice was made on validation rows.",
    "predicted_actual": "Test rows, and the means of ten groups of equal size.",
    "residuals": "The grey band holds nine in ten test rows.",
    "importance": "How much the loss grows when a column is shuffled, on validation rows.",
}
"""What a reader should see in each picture."""


def page(story: ReportContent, images: Mapping[str, bytes | str]) -> Page:
    """The report as a page. `images` are the pictures by the names that `pictures` gives them, PNG or SVG."""
    evaluation = story.evaluation
    document = Page(
        f"{story.name}: how good is it?",
        f"{evaluation.target}, {how_measured(story)}",
    )
    document.section("Result", *_result(story))
    if evaluation.report:
        report = TableBlock(
            ("class", "precision", "recall", "F1", "support"),
            [report_cells(row) for row in evaluation.report],
        )
        document.section("By class", report, *_confusion_blocks(evaluation, images))
    if story.slices:
        rows = slice_rows(evaluation.task, story.slices)
        caption = "Test rows of each level, with 95 % intervals."
        document.section("By slice", TableBlock(slice_headers(evaluation.task), rows, caption))
    document.section("Beside simple references", *_reference_blocks(story))
    curves = [name for name in CAPTIONS if name in images and name not in ("confusion", "loss", "importance")]
    if curves:
        document.section("Curves", *(_picture(name, images) for name in curves))
    if story.importance is not None:
        document.section("What it relies on", *_importance(story, images))
    document.section(
        "Decision", *(TextBlock(sentence) for sentence in decision(story) or ["A value is predicted."])
    )
    document.section("Training", *_training(story, images))
    document.section("Data and split", TableBlock(("", ""), data_rows(story)), *_notes(story))
    if story.findings:
        document.section(
            "Findings in the data", *(_finding(story, index) for index in range(len(story.findings)))
        )
    return document.section("Limits", *(TextBlock(limit) for limit in limits(story)))


def _result(story: ReportContent) -> list[Block]:
    evaluation = story.evaluation
    shown = [name for name in HEADLINE[evaluation.task] if name in evaluation.metrics]
    blocks: list[Block] = [FactsBlock([(NAMES[name], number(evaluation[name].value)) for name in shown])]
    if story.partial:
        blocks.append(CalloutBlock("warning", "The training was interrupted. This is what it had reached."))
    if story.references is not None and story.references.verdict is not None:
        verdict = story.references.verdict
        blocks.append(CalloutBlock("warning" if verdict.better == "reference" else "info", verdict.sentence))
    blocks += [CalloutBlock("info", note) for note in evaluation.notes]
    return blocks


def _confusion_blocks(evaluation: Evaluation, images: Mapping[str, bytes | str]) -> list[Block]:
    if "confusion" in images:
        return [_picture("confusion", images)]
    labels = [str(label) for label in evaluation.classes]
    rows = [(label, *cells) for label, cells in zip(labels, evaluation.confusion, strict=True)]
    return [TableBlock(("actual \\ predicted", *labels), rows)]


def _reference_blocks(story: ReportContent) -> list[Block]:
    blocks: list[Block] = [
        TableBlock(score_headers(story), score_rows(story), "Same rows, same split for all.")
    ]
    if story.evaluation.resamples:
        blocks.append(
            TextBlock(
                f"Intervals: bootstrap, {story.evaluation.resamples:,} resamples of the test rows.", True
            )
        )
    if story.references is not None:
        blocks += [CalloutBlock("warning", note) for note in story.references.notes]
    return blocks


def _importance(story: ReportContent, images: Mapping[str, bytes | str]) -> list[Block]:
    assert story.importance is not None
    blocks: list[Block] = [_picture("importance", images)] if "importance" in images else []
    rows = [(c.column, number(c.value), number(c.deviation)) for c in story.importance.columns[:30]]
    caption = f"{story.importance.repeats} shuffles of {story.importance.rows:,} rows"
    blocks.append(
        TableBlock(
            ("column", f"increase of the {NAMES[story.importance.metric]}", "deviation"), rows, caption
        )
    )
    return blocks + [TextBlock(note, muted=True) for note in story.importance.notes]


def _training(story: ReportContent, images: Mapping[str, bytes | str]) -> list[Block]:
    blocks: list[Block] = [_picture("loss", images)] if "loss" in images else []
    if rows := [*story.training.items(), *made_with(story)]:
        blocks.append(TableBlock(("", ""), rows))
    return blocks or [TextBlock("Nothing of the training was recorded.")]


def _notes(story: ReportContent) -> list[Block]:
    notes = [str(note) for note in (*story.split.notes, *story.table.notes)]
    return [TextBlock("\n\n".join(notes), muted=True)] if notes else []


def _finding(story: ReportContent, index: int) -> CalloutBlock:
    finding = story.findings[index]
    return CalloutBlock(finding.severity, finding.message, command=finding.remedy)


def _picture(name: str, images: Mapping[str, bytes | str]) -> PictureBlock:
    return PictureBlock(images[name], alt=CAPTIONS[name], caption=CAPTIONS[name])
