"""Cards, and two models side by side."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Response

from tabstudio.remote import paths, shapes
from tabstudio.remote.contract import check_address
from tabstudio.studio.api.request_context import ApiContext, Context

if TYPE_CHECKING:
    from tabstudio.registry.comparison import Comparison

router = APIRouter(tags=["models"])
Address = Annotated[str, Query(description="models:/NAME/VERSION, models:/NAME@ALIAS or runs:/ID/model.")]
Data = Annotated[str | None, Query(description="A table of the studio to compare on; else the test rows.")]
Slices = Annotated[list[str] | None, Query(alias="slice", description="Columns compared level by level.")]


@router.get(paths.CARD, summary="A model's card")
def card(context: Context, model: Address) -> shapes.Card:
    """Role: viewer."""
    from tabstudio.registry import version_card

    check_address(model)
    model_card = version_card.card(
        model, tracking_uri=context.studio.tracking_uri, registry_uri=context.studio.registry_uri
    )
    return shapes.Card.model_validate(model_card.to_json())


@router.get(paths.COMPARE, summary="Compare two models on rows that neither was trained on")
def compare(
    context: Context, first: Address, second: Address, data: Data = None, slices: Slices = None
) -> shapes.ComparisonReport:
    """Role: viewer."""
    comparison = _compared(context, first, second, data, slices)
    return shapes.ComparisonReport(text=comparison.text(), comparison=comparison.to_json())


@router.get(
    paths.COMPARE_REPORT,
    summary="The same as a page with its pictures and numbers, in a ZIP file",
    response_class=Response,
    responses={200: {"content": {"application/zip": {}}}},
)
def report(
    context: Context, first: Address, second: Address, data: Data = None, slices: Slices = None
) -> Response:
    """Role: viewer."""
    comparison = _compared(context, first, second, data, slices)
    packed = io.BytesIO()
    with tempfile.TemporaryDirectory(prefix="tabstudio-compare-") as folder:
        comparison.save(folder)
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(Path(folder).iterdir()):
                archive.write(path, path.name)
    return Response(packed.getvalue(), media_type="application/zip")


def _compared(
    context: ApiContext, first: str, second: str, data: str | None, slices: list[str] | None
) -> Comparison:
    from tabstudio.registry.comparison import compare

    check_address(first, second)
    return compare(
        first,
        second,
        data=context.table(data),
        slices=slices or (),
        tracking_uri=context.studio.tracking_uri,
        registry_uri=context.studio.registry_uri,
    )
