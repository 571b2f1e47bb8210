"""The API: `uvicorn wine_serving.app:app`, or `create_app(settings)`."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from fastapi.telemetry import TelemetryConfig
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from wine_serving.answers import (
    Alive,
    BatchPrediction,
    Explanation,
    Field,
    Form,
    Health,
    Prediction,
    Refusal,
    ServedModel,
    Start,
)
from wine_serving.bundle import CARD_FILE, DATASET_CARD_FILE, Reference
from wine_serving.call import Call
from wine_serving.errors import BundleError, RequestRefused
from wine_serving.gate import CALL, Gate
from wine_serving.log import PredictionLog
from wine_serving.metrics import Metrics
from wine_serving.provenance import VERSION
from wine_serving.route import BodyRoute
from wine_serving.schema import (
    BATCH_LIMIT,
    EXAMPLES,
    FEATURES,
    SEGMENTS,
    TARGET,
    TARGET_LABEL,
    TARGET_RANGE,
    Batch,
    Feature,
    Wine,
)
from wine_serving.service import Service
from wine_serving.settings import Settings


def _current(request: Request) -> Call:
    call: Call = request.scope[CALL]
    return call


CurrentCall = Annotated[Call, Depends(_current)]
REFUSALS: dict[int | str, dict[str, Any]] = {status: {"model": Refusal} for status in (400, 401, 413, 415, 422, 503)}


def create_app(settings: Settings) -> FastAPI:
    """The API on what `settings` name; it starts loading the model when the server starts."""
    service, metrics = Service(settings), Metrics()
    key = settings.api_key.get_secret_value() if settings.api_key else None
    log = PredictionLog(settings.google_cloud_project) if settings.prediction_log else None

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        service.stop()

    telemetry = TelemetryConfig(tracing=False, metrics=False, logs=False)  # /metrics and the prediction log tell it all
    app = FastAPI(title="Wine quality", version=VERSION, lifespan=lifespan, telemetry=telemetry)
    app.add_middleware(Gate, service=service, metrics=metrics, api_key=key)
    app.add_exception_handler(HTTPException, _as_refusal)
    _add_predicting(app, service, metrics, log)
    app.include_router(_telling(service, metrics))
    return app


async def _as_refusal(request: Request, error: Exception) -> Response:
    """Let the gate answer what the router refuses (no such route, no such method)."""
    assert isinstance(error, HTTPException)
    sentence = f"{request.method} {request.url.path}: {error.detail}; /docs lists what there is"
    raise RequestRefused(error.status_code, sentence, headers=error.headers)


def _add_predicting(app: FastAPI, service: Service, metrics: Metrics, log: PredictionLog | None) -> None:
    """The routes that take wines."""

    async def predict(wine: Wine, call: CurrentCall) -> Prediction:
        """Score one wine: quality, 90 % interval, nearest grade, and how it is unlike the wines the model has seen."""
        model = service.model
        (assessment,) = model.bundle.assess([wine])
        metrics.predicted(model.version, [assessment])
        if log:
            log.write_soon(call, model.version, wine, assessment)
        return {**assessment, "model_version": model.version, "request_id": call.id}

    def predict_batch(batch: Batch, call: CurrentCall) -> BatchPrediction:
        """Score up to 10,000 wines, in order. One bad wine refuses the batch; the answer lists every bad row."""
        model = service.model
        assessments = model.bundle.assess(batch.wines)
        metrics.predicted(model.version, assessments)
        if log:
            log.write(call, model.version, batch.wines, assessments)
        return {"predictions": assessments, "model_version": model.version, "request_id": call.id}

    def explain(wine: Wine, call: CurrentCall) -> Explanation:
        """Say how far each measurement moved the wine's score away from the typical score (Shapley values)."""
        model = service.model
        score = model.bundle.assess([wine])[0]["quality"]
        return {
            "quality": score,
            "typical": model.explainer.typical,
            "contributions": model.explainer.explain(wine, score),
            "model_version": model.version,
            "request_id": call.id,
        }

    singles = {name: {"value": wine} for name, wine in EXAMPLES.items()}
    batch = {"both": {"value": {"wines": [*EXAMPLES.values()]}}}
    endpoints: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
        "/predict": (predict, singles),
        "/predict/batch": (predict_batch, batch),
        "/explain": (explain, singles),
    }
    for path, (endpoint, examples) in endpoints.items():
        app.router.add_api_route(
            path,
            endpoint,
            methods=["POST"],
            responses=REFUSALS,
            route_class_override=BodyRoute,
            openapi_extra={"requestBody": {"content": {"application/json": {"examples": examples}}}},
        )


def _field(feature: Feature, reference: Reference) -> Field:
    """What the contract says of a measurement, and what the model knows of it."""

    def known(values: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        return {segment: values[segment][feature.name] for segment in SEGMENTS}

    field: Any = feature._asdict()
    field |= {name: known(getattr(reference, name)) for name in ("typical", "usual", "ranges")}
    return cast("Field", field)


def _telling(service: Service, metrics: Metrics) -> APIRouter:
    """The routes that tell about the service."""
    routes = APIRouter()
    refused: dict[int | str, dict[str, Any]] = {401: {"model": Refusal}, 503: {"model": Refusal}}

    @routes.get("/schema", responses=refused)
    async def schema() -> Form:
        """Tell what a wine's measurements are: names, labels, units, bounds, typical values and wines to start from."""
        model = service.model
        reference = model.bundle.reference
        return {
            "fields": [_field(feature, reference) for feature in FEATURES],
            "colors": list(SEGMENTS),
            "target": {
                "name": TARGET,
                "minimum": TARGET_RANGE[0],
                "maximum": TARGET_RANGE[1],
                "label": TARGET_LABEL,
            },
            "presets": [cast("Start", preset.model_dump()) for preset in reference.presets],
            "distribution": {
                segment: {str(grade): count for grade, count in sorted(counts.items())}
                for segment, counts in reference.distribution.items()
            },
            "batch_limit": BATCH_LIMIT,
            "model_version": model.version,
        }

    @routes.get("/model", responses=refused)
    async def model() -> ServedModel:
        """Tell which model answers: version, dataset, commit, evaluation with intervals, training metadata and card."""
        served = service.model
        metadata, record = served.bundle.metadata, served.record
        origin = (
            next((ref for ref in record.inputs if ref.startswith(f"{metadata.dataset.name}:")), None)
            if record
            else None
        )
        return {
            "model_version": served.version,
            "aliases": list(served.aliases),
            "promotion": served.promotion,
            "dataset": {
                "name": metadata.dataset.name,
                "version": origin.partition(":")[2] if origin else None,
                "digest": metadata.dataset.digest,
            },
            "commit": record.commit if record else None,
            "evaluation": record.evaluation if record else None,
            "metadata": metadata.model_dump(exclude={"calibration": {"residuals"}}),
            "record": record,
            "card": (served.bundle.directory / CARD_FILE).read_text(encoding="utf-8"),
            "dataset_card": (served.bundle.directory / DATASET_CARD_FILE).read_text(encoding="utf-8"),
        }

    @routes.get("/health", responses={503: {"model": Health}})
    async def health() -> Health:
        """Have the loaded model answer its golden wines: 200 only when it does so as recorded at training."""
        try:
            served = service.model
            served.bundle.check_golden()
        except (RequestRefused, BundleError) as error:
            reason: Health = {"status": "unhealthy", "model_version": service.version, "reason": str(error)}
            return JSONResponse(reason, 503)  # type: ignore[return-value]
        return {
            "status": "degraded" if served.degraded else "ok",
            "model_version": served.version,
            "reason": served.degraded,
        }

    @routes.get("/live")
    async def live() -> Alive:
        """Say that the process runs."""
        return {"status": "alive"}

    @routes.get("/metrics", responses={401: {"model": Refusal}}, response_class=Response)
    async def prometheus() -> Response:
        """Tell Prometheus about requests, latency, predictions and warnings."""
        return Response(metrics.render(), media_type=CONTENT_TYPE_LATEST)

    return routes


app = create_app(Settings.from_environment())
