"""The pages beside predictions: metrics, feedback, forms. Imported at the first request for one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tabstudio.serving import strict_json
from tabstudio.serving.metrics import Metrics
from tabstudio.serving.prediction_form import (
    PredictionForm,
    answer_headers,
    answer_page,
    error_page,
    index_page,
    page_headers,
)
from tabstudio.serving.predictionlog.catalog import LogCatalog
from tabstudio.serving.predictionlog.feedback import parse_feedback, store_feedback
from tabstudio.serving.protocols import require_json
from tabstudio.serving.request_hooks import HttpError, PredictionService
from tabstudio.serving.serve_options import ServeOptions


class ExtraRoutes:
    """Answers from the parts of `WorkerHooks`; `log_folder` is None where predictions are not logged."""

    def __init__(
        self,
        options: ServeOptions,
        metrics: Metrics,
        forms: Mapping[str, PredictionForm],
        service: PredictionService,
        log_folder: Path | None,
    ) -> None:
        self.metrics, self.forms, self.service, self.log_folder = metrics, forms, service, log_folder
        self.max_rows = options.bounds.rows
        self._writer = ThreadPoolExecutor(1, "feedback")

    def routes(self) -> list[Route]:
        """All of them."""
        return [
            Route("/metrics", self.scrape, methods=["GET"]),
            Route("/v1/feedback", self.feedback, methods=["POST"]),
            Route("/try", self.forms_index, methods=["GET"]),
            Route("/try/{name}", self.form, methods=["GET"]),
            Route("/try/{name}", self.submit_form, methods=["POST"]),
        ]

    async def scrape(self, request: Request) -> Response:
        """Answer Prometheus."""
        exposition = self.metrics.exposition()
        text, content_type = await asyncio.to_thread(exposition, request.headers.get("accept", ""))
        return Response(text, headers={"content-type": content_type})

    async def feedback(self, request: Request) -> Response:
        """Store labels that came later; the answer is sent when they are on the disk."""
        require_json(request.headers.get("content-type", ""))
        if self.log_folder is None:
            raise HttpError(
                409, "NO_PREDICTION_LOG", "this server keeps no predictions: it was started with --no-log"
            )
        body, caller = await request.body(), request.scope["state"]["caller"]
        received, new = await asyncio.get_running_loop().run_in_executor(
            self._writer, self._store_feedback, body, caller
        )
        return JSONResponse({"received": received, "new": new})

    def _store_feedback(self, body: bytes, caller: str) -> tuple[int, int]:
        classes = {name: form.classes for name, form in self.forms.items()}
        labels = parse_feedback(strict_json.parse(body), classes, self.max_rows)
        return len(labels), store_feedback(self._catalog, labels, caller)

    async def forms_index(self, request: Request) -> Response:
        """List the models."""
        del request
        return await _page(lambda: index_page(list(self.forms)), page_headers())

    async def form(self, request: Request) -> Response:
        """The form of a model with typical values."""
        return await _page(self._form(request).page, page_headers())

    async def submit_form(self, request: Request) -> Response:
        """The answer to a form."""
        form = self._form(request)
        state, body = request.scope["state"], await request.body()
        try:
            row = await asyncio.to_thread(form.rows, body)
            answer = await self.service.predict(
                form.model, row, protocol="form", request_id=state["request_id"], caller=state["caller"]
            )
        except HttpError as error:
            refused = error
            return await _page(lambda: error_page(form.model, refused), answer_headers(), error.status)
        return await _page(lambda: answer_page(answer), answer_headers())

    def _form(self, request: Request) -> PredictionForm:
        name = request.path_params["name"]
        if name not in self.forms:
            raise HttpError(404, "UNKNOWN_MODEL", f"there is no model {name[:100]!r}")
        return self.forms[name]

    @cached_property
    def _catalog(self) -> LogCatalog:
        assert self.log_folder is not None
        return LogCatalog(self.log_folder)


async def _page(build: Callable[[], str], headers: Mapping[str, str], status: int = 200) -> Response:
    """A page that a thread puts together."""
    return Response(await asyncio.to_thread(build), status, headers)
