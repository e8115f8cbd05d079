"""`tabstudio export`: a model as a file for another runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from tabstudio.cli import options as o


def command(
    model: o.Address,
    to: Annotated[
        Literal["onnx", "pt2", "folder"],
        typer.Option(help="onnx (ONNX Runtime), pt2 (torch.export) or folder (the bundle itself)."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file or folder to write.")],
) -> None:
    """Write a model as a file for another runtime, checked against the model before it appears."""
    from tabstudio.registry import load
    from tabstudio.serving.export.exporter import export

    print(export(load(model), output, to))
