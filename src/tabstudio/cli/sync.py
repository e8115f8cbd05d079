"""`tabstudio sync`: bring to MLflow what could not be brought while training."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    tracking_uri: Annotated[str | None, typer.Option(help="The tracking server, where it moved.")] = None,
) -> None:
    """Bring everything that waits in the local spool to MLflow."""
    from tabstudio.tracking import deliver

    print(deliver(tracking_uri=tracking_uri))
