"""Cards, and two models side by side."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Response

from tabstudio.registry.remote import check_address
from tabstudio.studio.api import shapes
from tabstudio.studio.api.asking import Asked, Asking

if TYPE_CHECKING:
    from tabstudio.registry.comparison import Comparison

router = APIRouter(tags=["models"])
Address = Annotated[str, Query(description="models:/NAME/VERSION, models:/NAME@ALIAS or runs:/ID/model.")]
Data = Annotated[str | None, Query(description="A table of the studio to compare on; else the test rows.")]
Slices = Annotated[list[str] | None, Query(alias="slice", description="Columns compared level by level.")]


@router.get("/card", summary="A model's card")
def card(asking: Asking, model: Address) -> shapes.Card:
    """Role: viewer."""
    from tabstudio.registry import version_card

    check_address(model)
    found = version_card.card(
        model, tracking_uri=asking.studio.tracking_uri, registry_uri=asking.studio.registry_uri
    )
    return shapes.Card.model_validate(found.to_json())


@router.get("/compare", summary="Compare two models on rows that neither was trained on")
def compare(
    asking: Asking, first: Address, second: Address, data: Data = None, slices: Slices = None
) -> shapes.Comparison:
    """Role: viewer."""
    found = _compared(asking, first, second, data, slices)
    return shapes.Comparison(text=found.text(), comparison=found.to_json())


@router.get(
    "/compare/report",
    summary="The same as a page with its pictures and numbers, in a ZIP file",
    response_class=Response,
    responses={200: {"content": {"application/zip": {}}}},
)
def report(
    asking: Asking, first: Address, second: Address, data: Data = None, slices: Slices = None
) -> Response:
    """Role: viewer."""
    found = _compared(asking, first, second, data, slices)
    packed = io.BytesIO()
    with tempfile.TemporaryDirectory(prefix="tabstudio-compare-") as folder:
        found.save(folder)
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(Path(folder).iterdir()):
                archive.write(path, path.name)
    return Response(packed.getvalue(), media_type="application/zip")


def _compared(
    asking: Asked, first: str, second: str, data: str | None, slices: list[str] | None
) -> Comparison:
    from tabstudio.registry.comparison import compare

    check_address(first, second)
    return compare(
        first,
        second,
        data=asking.table(data),
        slices=slices or (),
        tracking_uri=asking.studio.tracking_uri,
        registry_uri=asking.studio.registry_uri,
    )
