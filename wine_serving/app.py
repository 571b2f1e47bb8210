"""The API: `uvicorn wine_serving.app:app`, or `create_app(settings)`."""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from functools import cache
from http import HTTPStatus
from itertools import pairwise

from fastapi import FastAPI, Request, Response
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from uvicorn.config import STARTUP_FAILURE

from wine_serving.api import documents, telling
from wine_serving.api.body import Bodies
from wine_serving.api.loading import Loader
from wine_serving.api.log import PredictionLog
from wine_serving.api.metrics import Metrics
from wine_serving.api.middleware import Middleware
from wine_serving.api.wines import Wines
from wine_serving.errors import RequestRefused
from wine_serving.provenance import VERSION
from wine_serving.schema import cut
from wine_serving.settings import Settings

_log = logging.getLogger(__name__)


def create_app(settings: Settings) -> FastAPI:
    """The API on what `settings` name; it starts loading the model when the server starts."""
    log = PredictionLog(settings.google_cloud_project) if settings.prediction_log else None
    loader, metrics, bodies = Loader(settings), Metrics(log), Bodies()
    key = settings.api_key.get_secret_value() if settings.api_key else None

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        loader.start()
        sweeping = asyncio.create_task(bodies.keep_sweeping())
        with log or nullcontext():
            yield
        sweeping.cancel()
        loader.stop()

    app = FastAPI(
        title="Wine quality", version=VERSION, description=documents.ABOUT, lifespan=lifespan,
        docs_url=None, redoc_url=None, redirect_slashes=False,
        telemetry=TelemetryConfig(tracing=False, metrics=False, logs=False),
    )  # fmt: skip
    documents.document(app, with_key=bool(key))
    app.include_router(telling.routes(loader, metrics))
    takes = Wines(loader, log).takes()
    rest = ExceptionMiddleware(AsyncExitStackMiddleware(app.router), {HTTPException: _no_such_route})
    app.middleware_stack = Middleware(rest, takes, loader, metrics, log, bodies, key)
    if origins := [origin.strip() for origin in settings.cors_origins.split(",") if origin]:
        shown = ["X-Request-Id", "X-Model-Version"]
        app.middleware_stack = CORSMiddleware(
            app.middleware_stack, origins, allow_methods=["GET", "POST"], allow_headers=["*"], expose_headers=shown
        )
    return app


async def _no_such_route(request: Request, error: Exception) -> Response:
    """Let the middleware answer what the router does not know."""
    assert isinstance(error, HTTPException)
    wrong = "there is no such route" if error.status_code == HTTPStatus.NOT_FOUND else "not by this method"
    sentence = f"{request.method} {cut(request.url.path)}: {wrong}; /docs lists what there is"
    raise RequestRefused(error.status_code, sentence, headers=error.headers)


@cache  # whoever names it means the same one
def _app() -> FastAPI:
    _in_one_process()
    return create_app(Settings.from_environment())


def _in_one_process() -> None:
    """End the server where it was told to start workers: each would count and log for itself."""
    words = " ".join(sys.argv).replace("=", " ").split()
    asked = [after for word, after in pairwise(words) if word == "--workers"] or [
        os.environ.get("WEB_CONCURRENCY", "1")
    ]
    if asked[-1] != "1":
        _log.error("%s workers cannot be used: one process counts and logs; start more instances instead", asked[-1])
        sys.exit(STARTUP_FAILURE)


def __getattr__(name: str) -> FastAPI:
    """`app`, on the settings that the environment gives: who imports `create_app` alone reads none."""
    if name != "app":
        raise AttributeError(f"{__name__} has no {name}")
    return _app()
