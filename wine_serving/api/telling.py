"""The routes that tell about the service."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST

from wine_serving.api.answers import Alive, Field, Form, Health, ServedModel, Start, documented
from wine_serving.api.loading import Loader, Model
from wine_serving.api.metrics import Metrics
from wine_serving.bundle import CARD_FILE, DATASET_CARD_FILE, Reference
from wine_serving.errors import WineServingError, without_paths
from wine_serving.provenance import VERSION
from wine_serving.registry import Record
from wine_serving.schema import (
    BATCH_LIMIT,
    FEATURES,
    SEGMENT,
    SEGMENTS,
    TARGET,
    TARGET_LABEL,
    TARGET_RANGE,
    Feature,
    Wine,
)

_log = logging.getLogger(__name__)
OPEN: Final[dict[str, Any]] = {"security": []}  # probes carry no key
DOCS: Final = Path(__file__).with_name("docs.html")


def routes(loader: Loader, metrics: Metrics) -> APIRouter:
    """What they tell of is the model that is loaded when they are asked."""
    router = APIRouter()

    @router.get("/schema", responses=documented(401, 503))
    async def schema() -> Form:
        """Tell what a wine's measurements are: names, labels, units, bounds, typical values and wines to start from."""
        return _form(loader.model)

    @router.get("/model", responses=documented(401, 503))
    async def model() -> ServedModel:
        """Tell which model answers: version, dataset, commit, evaluation with intervals, training metadata and card."""
        return _origin(loader.model, loader.record)

    @router.get("/health", responses={503: {"model": Health}}, openapi_extra=OPEN)
    async def health() -> Health:
        """Have the loaded model answer its golden wines: 200 only when it does so as recorded at training."""
        try:
            served = loader.model
            served.bundle.check_golden()
        except Exception as error:  # noqa: BLE001 - ONNX Runtime raises classes of its own
            told = without_paths(str(error))
            if not isinstance(error, WineServingError):
                _log.exception("golden wines")
                told = f"the model cannot answer its golden wines ({type(error).__name__})"
            reason: Health = {"status": "unhealthy", "model_version": loader.version, "reason": told}
            return JSONResponse(reason, 503)  # type: ignore[return-value]
        return {
            "status": "degraded" if served.degraded else "ok",
            "model_version": served.version,
            "reason": served.degraded,
        }

    @router.get("/live", openapi_extra=OPEN)
    async def live() -> Alive:
        """Say that the process runs."""
        return {"status": "alive"}

    @router.get("/metrics", responses=documented(401), response_class=Response)
    async def prometheus() -> Response:
        """Tell Prometheus about requests, latency, predictions and warnings."""
        return Response(metrics.render(), media_type=CONTENT_TYPE_LATEST)

    @router.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        """Show the OpenAPI document as a page from which each route can be tried."""
        return Response(DOCS.read_text(encoding="utf-8"), media_type="text/html")

    return router


def _form(served: Model) -> Form:
    reference = served.bundle.reference
    return {
        "fields": [_field(feature, reference) for feature in FEATURES],
        "category": {"name": SEGMENT, "label": Wine.model_fields[SEGMENT].title or SEGMENT},
        "colors": list(SEGMENTS),
        "target": {"name": TARGET, "minimum": TARGET_RANGE[0], "maximum": TARGET_RANGE[1], "label": TARGET_LABEL},
        "presets": [cast("Start", preset.model_dump()) for preset in reference.presets],
        "distribution": {
            segment: {str(grade): count for grade, count in sorted(counts.items())}
            for segment, counts in reference.distribution.items()
        },
        "batch_limit": BATCH_LIMIT,
        "model_version": served.version,
    }


def _field(feature: Feature, reference: Reference) -> Field:
    """What the contract says of a measurement, and what the model knows of it."""

    def known(values: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        return {segment: values[segment][feature.name] for segment in SEGMENTS}

    field: Any = feature._asdict()
    field |= {name: known(getattr(reference, name)) for name in ("typical", "usual", "ranges")}
    return cast("Field", field)


def _origin(served: Model, record: Record | None) -> ServedModel:
    metadata = served.bundle.metadata
    refs = record.inputs if record else ()
    dataset = next((ref for ref in refs if ref.startswith(f"{metadata.dataset.name}:")), None)
    return {
        "model_version": served.version,
        "project_version": VERSION,
        "aliases": list(served.aliases),
        "promotion": served.promotion,
        "dataset": {
            "name": metadata.dataset.name,
            "version": dataset.partition(":")[2] if dataset else None,
            "digest": metadata.dataset.digest,
            "sources": metadata.dataset.sources,
        },
        "commit": record.commit if record else None,
        "evaluation": record.evaluation if record else None,
        "monitoring": record.monitoring if record else None,
        "metadata": metadata.model_dump(exclude={"calibration": {"residuals"}}),
        "record": record,
        "card": (served.bundle.directory / CARD_FILE).read_text(encoding="utf-8"),
        "dataset_card": (served.bundle.directory / DATASET_CARD_FILE).read_text(encoding="utf-8"),
    }
