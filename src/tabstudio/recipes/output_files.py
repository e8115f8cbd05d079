"""The files of a job: written to a scratch folder first, then handed to the run and to the user's folder."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabstudio.errors import ConfigError, TabstudioError

if TYPE_CHECKING:
    from tabstudio.evaluation.report_content import ReportContent
    from tabstudio.training.loop import Epoch

PARTS = ("exploration", "evaluation", "model")


def claimed(output: str | Path | None) -> Path | None:
    """The output folder, refused before any work where it could not be written or holds something else.

    Raises `ConfigError` for a file, and for a folder with entries that are not a former job's.
    """
    if output is None:
        return None
    folder = Path(output)
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"option output: {folder} is a file, a folder was expected")
    others = sorted(p.name for p in folder.iterdir() if p.name not in PARTS) if folder.is_dir() else []
    if others:
        raise ConfigError(
            f"option output: {folder} holds {', '.join(others[:3])}, an empty or new folder was expected, "
            f"or one of a former training"
        )
    return folder


def evaluation(folder: Path, story: ReportContent, history: Sequence[Epoch], address: str) -> str:
    """Write the evaluation's pictures, numbers, report and card into a new folder; gives the card's body."""
    from tabstudio.evaluation.model_card import body, card
    from tabstudio.evaluation.plots import pictures
    from tabstudio.evaluation.report_page import page
    from tabstudio.report.figure import png

    drawn = pictures(story.evaluation, history, story.importance)
    images = {name: png(figure) for name, figure in drawn.items()}
    text = body(story)
    folder.mkdir()
    for name, image in images.items():
        (folder / f"{name}.png").write_bytes(image)
    (folder / "report.html").write_text(page(story, images).html(), encoding="utf-8")
    (folder / "report.txt").write_text(story.evaluation.text() + "\n", encoding="utf-8")
    (folder / "evaluation.json").write_text(json.dumps(numbers(story), indent=1), encoding="utf-8")
    (folder / "model-card.md").write_text(card(text, address), encoding="utf-8")
    return text


def numbers(story: ReportContent) -> dict[str, Any]:
    """Return all measured figures as JSON; the model's bundle holds them too."""
    return {
        "test": story.evaluation.to_json(),
        "validation": story.validation.to_json() if story.validation else None,
        "references": story.references.to_json() if story.references else None,
        "importance": story.importance.to_json() if story.importance else None,
        "slices": [part.to_json() for part in story.slices],
        "data": {
            "name": story.table.source.name,
            "source": story.source,
            "fingerprint": story.table.fingerprint,
            "rows": len(story.table),
            "train_rows": len(story.split.train),
            "test_rows": len(story.split.test),
            "split": story.split.how,
            "validated_on_test": story.validated_on_test,
        },
        "training": dict(story.training),
        "environment": dict(story.environment),
    }


def publish(scratch: Path, folder: Path) -> None:
    """Move a finished job's parts into `folder`, each whole or not at all, in place of a former job's.

    Raises `TabstudioError` where the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for part in PARTS:
            new, old = folder / f".{part}.{os.getpid()}.new", folder / f".{part}.{os.getpid()}.old"
            try:
                shutil.copytree(scratch / part, new)
                if (folder / part).exists():
                    (folder / part).rename(old)
                new.rename(folder / part)
            finally:
                for left in (new, old):
                    if left.exists():
                        shutil.rmtree(left)
    except OSError as error:
        raise TabstudioError(f"{folder}: the results cannot be written: {error.strerror or error}") from error
