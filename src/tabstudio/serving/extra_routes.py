"""The pages beside predictions: metrics, feedback, forms. Imported when the first of them is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tabstudio.serving import strict_json
from tabstudio.serving.metrics import Metrics
from tabstudio.serving.prediction_form import (
    ANSWER_HEADERS,
    PAGE_HEADERS,
    PredictionForm,
    answer_page,
    error_page,
    index_page,
)
from tabstudio.serving.predictionlog import feedback
from tabstudio.serving.predictionlog.catalog import LogCatalog
from tabstudio.serving.protocols import require_json
from tabstudio.serving.request_hooks import HttpError, PredictionService
from tabstudio.serving.serve_options import ServeOptions


class ExtraRoutes:
    """Answers for what `Around` has put together; `log_folder` is None where predictions are not kept."""

    def __init__(
        self,
        options: ServeOptions,
        metrics: Metrics,
        forms: Mapping[str, PredictionForm],
        service: PredictionService,
        log_folder: Path | None,
    ) -> None:
        self.metrics, self.forms, self.service, self.log_folder = metrics, forms, service, log_folder
        self.most = options.bounds.rows
        self._writer = ThreadPoolExecutor(1, "feedback")

    def routes(self) -> list[Route]:
        """All of them."""
        return [
            Route("/metrics", self.scrape, methods=["GET"]),
            Route("/v1/feedback", self.feedback, methods=["POST"]),
            Route("/try", self.forms_index, methods=["GET"]),
            Route("/try/{name}", self.form, methods=["GET"]),
            Route("/try/{name}", self.form_sent, methods=["POST"]),
        ]

    async def scrape(self, request: Request) -> Response:
        """Answer Prometheus."""
        text, kind = self.metrics.text(request.headers.get("accept", ""))
        return Response(text, headers={"content-type": kind})

    async def feedback(self, request: Request) -> Response:
        """Keep labels that came later; the answer is sent when they are on the disk."""
        require_json(request.headers.get("content-type", ""))
        if self.log_folder is None:
            raise HttpError(
                409, "NO_PREDICTION_LOG", "this server keeps no predictions: it was started with --no-log"
            )
        body = await request.body()
        classes = {name: form.classes for name, form in self.forms.items()}
        told = feedback.parse_feedback(strict_json.parse(body), classes, self.most)
        caller = request.scope["state"]["caller"]
        fresh = await asyncio.get_running_loop().run_in_executor(
            self._writer, lambda: feedback.store_feedback(self._catalogue, told, caller)
        )
        return JSONResponse({"received": len(told), "new": fresh})

    async def forms_index(self, request: Request) -> Response:
        """List the models."""
        del request
        return _page(index_page(list(self.forms)), PAGE_HEADERS)

    async def form(self, request: Request) -> Response:
        """The empty form of a model."""
        return _page(self._form(request).page(), PAGE_HEADERS)

    async def form_sent(self, request: Request) -> Response:
        """The answer to a form."""
        form = self._form(request)
        state = request.scope["state"]
        try:
            row = form.rows(await request.body())
            answer = await self.service.predict(
                form.model, row, protocol="form", request_id=state["request_id"], caller=state["caller"]
            )
        except HttpError as refused:
            return _page(error_page(form.model, refused), ANSWER_HEADERS, refused.status)
        return _page(answer_page(answer), ANSWER_HEADERS)

    def _form(self, request: Request) -> PredictionForm:
        name = request.path_params["name"]
        if name not in self.forms:
            raise HttpError(404, "UNKNOWN_MODEL", f"there is no model {name[:100]!r}")
        return self.forms[name]

    @cached_property
    def _catalogue(self) -> LogCatalog:
        assert self.log_folder is not None
        return LogCatalog(self.log_folder)


def _page(text: str, headers: Mapping[str, str], status: int = 200) -> Response:
    return Response(text, status, headers)
