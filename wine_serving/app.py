"""The API: `uvicorn wine_serving.app:app`, or `create_app(settings)`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache

from fastapi import FastAPI, Request, Response
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException

from wine_serving.api import telling, wines
from wine_serving.api.loading import Loader
from wine_serving.api.metrics import Metrics
from wine_serving.api.middleware import Middleware
from wine_serving.errors import RequestRefused
from wine_serving.predictions import PredictionLog
from wine_serving.provenance import VERSION
from wine_serving.settings import Settings


def create_app(settings: Settings) -> FastAPI:
    """The API on what `settings` name; it starts loading the model when the server starts."""
    loader, metrics = Loader(settings), Metrics()
    key = settings.api_key.get_secret_value() if settings.api_key else None
    log = PredictionLog(settings.google_cloud_project) if settings.prediction_log else None

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        loader.start()
        yield
        loader.stop()

    telemetry = TelemetryConfig(tracing=False, metrics=False, logs=False)  # /metrics and the prediction log tell it all
    app = FastAPI(title="Wine quality", version=VERSION, lifespan=lifespan, telemetry=telemetry)
    app.add_middleware(Middleware, loader=loader, metrics=metrics, api_key=key)
    app.add_exception_handler(HTTPException, _no_such_route)
    wines.add(app, loader, metrics, log)
    app.include_router(telling.routes(loader, metrics))
    return app


async def _no_such_route(request: Request, error: Exception) -> Response:
    """Let the middleware answer what the router does not know (no such route, no such method)."""
    assert isinstance(error, HTTPException)
    sentence = f"{request.method} {request.url.path}: {error.detail}; /docs lists what there is"
    raise RequestRefused(error.status_code, sentence, headers=error.headers)


@cache  # whoever names it means the same one
def _app() -> FastAPI:
    return create_app(Settings.from_environment())


def __getattr__(name: str) -> FastAPI:
    """`app`, on the settings that the environment gives: who imports `create_app` alone reads none."""
    if name != "app":
        raise AttributeError(f"{__name__} has no {name}")
    return _app()
