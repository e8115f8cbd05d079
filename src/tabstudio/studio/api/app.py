"""The application below `/api/v1`: its routes, its errors, its documentation without internet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from pydantic import Field

from tabstudio._version import __version__
from tabstudio.remote.contract import API, API_VERSION
from tabstudio.remote.shapes import JsonShape
from tabstudio.serving.swagger_ui import swagger_files
from tabstudio.studio.access.roles import Role
from tabstudio.studio.api import comparisons, deployments, errors, jobs, models, people, runs, tables
from tabstudio.studio.api.request_context import Context

if TYPE_CHECKING:
    from tabstudio.studio.studio import Studio

_ROUTES = (models, comparisons, runs, tables, jobs, deployments, people)
_DESCRIPTION = """What the pages of the studio do, for programs.

Send `Authorization: Bearer TOKEN` with a token of `tabstudio users token NAME`, or come with the session of a
browser that is logged in. Each operation says which role it takes. Errors have one shape:
`{"error": {"code": ..., "message": ...}}`."""
_DOCS = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>The REST API of tabstudio</title>
<link rel="stylesheet" href="swagger/swagger-ui.css"></head>
<body><div id="page"></div><script src="swagger/swagger-ui-bundle.js"></script>
<script>
SwaggerUIBundle({url: "openapi.json", dom_id: "#page", validatorUrl: null, deepLinking: true})
</script>
</body></html>
"""


class About(JsonShape):
    """Which studio this is, and who asks."""

    version: str = Field(description="The version of tabstudio.")
    api: str = Field(description="The version of this API.")
    name: str = Field(description="Who asks.")
    role: Role = Field(description="What they may do.")


def build(studio: Studio) -> FastAPI:
    """Make the application, to be mounted."""
    api = FastAPI(
        title="tabstudio",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        responses=errors.DOCUMENTED,
        servers=[{"url": API}],
        root_path_in_servers=False,
    )
    api.state.studio = studio
    errors.install(api)
    for module in _ROUTES:
        api.include_router(module.router)
    api.mount("/swagger", StaticFiles(directory=swagger_files()), name="swagger")

    @api.get("/", tags=["about"], summary="Who asks, and which studio answers")
    def about(context: Context) -> About:
        return About(version=__version__, api=API_VERSION, name=context.who.name, role=context.who.role)

    @api.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(_DOCS)

    return api
