"""`tabstudio predict`: score a file of any length."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tabstudio.cli import options as o


@o.with_options("predict")
def command(
    model: o.Address,
    file: o.File,
    output: Annotated[Path, typer.Option("--output", "-o", help="CSV, Parquet or Arrow file to write.")],
    columns: Annotated[
        bool, typer.Option("--columns", help="Keep the columns of the input beside the answers.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the output where it exists.")
    ] = False,
    **options: Any,
) -> None:
    """Predict every row of a file, in bounded memory."""
    from tabstudio.options import ReadConfig
    from tabstudio.registry import load
    from tabstudio.serving.batch_prediction import score

    config = ReadConfig(**options)
    result = score(load(model), file, output, config=config, keep_columns=columns, overwrite=overwrite)
    print(result)
