"""The application below `/api/v1`: its routes, its errors, its documentation without internet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

from tabstudio._version import __version__
from tabstudio.registry.remote_http import API_VERSION
from tabstudio.serving.swagger_ui import swagger_files
from tabstudio.studio.api import comparing, deployments, errors, jobs, models, people, runs, tables
from tabstudio.studio.api.asking import Asking
from tabstudio.studio.api.shapes import About

if TYPE_CHECKING:
    from tabstudio.studio.studio import Studio

_ROUTES = (models, comparing, runs, tables, jobs, deployments, people)
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
        servers=[{"url": "/api/v1"}],
        root_path_in_servers=False,
    )
    api.state.studio = studio
    errors.install(api)
    for module in _ROUTES:
        api.include_router(module.router)
    api.mount("/swagger", StaticFiles(directory=swagger_files()), name="swagger")

    @api.get("/", tags=["about"], summary="Who asks, and which studio answers")
    def about(asking: Asking) -> About:
        return About(version=__version__, api=API_VERSION, name=asking.who.name, role=asking.who.role)

    @api.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(_DOCS)

    return api
