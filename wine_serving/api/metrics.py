"""What Prometheus may ask: requests, latency, predictions by version and warnings by measurement."""

from collections.abc import Sequence
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from wine_serving.assessing import Assessment
from wine_serving.predictions import PredictionLog

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)  # seconds


class Metrics:
    """The counters of one app."""

    def __init__(self, log: PredictionLog | None) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        requests = Counter(
            "wine_requests", "Answered requests by route and status", ["route", "status"], registry=self._registry
        )
        latency = Histogram(
            "wine_request_seconds", "Time to answer by route", ["route"], buckets=BUCKETS, registry=self._registry
        )
        predictions = Counter(
            "wine_predictions", "Predicted wines by model version", ["model_version"], registry=self._registry
        )
        warnings = Counter(
            "wine_warnings", "Wines unlike the training wines, by measurement", ["field"], registry=self._registry
        )
        lost = Gauge("wine_log_lines_lost", "Lines of the prediction log that nobody read", registry=self._registry)
        lost.set_function(lambda: log.lost if log else 0)
        # labels() locks and converts at every call; what it returns stays the same
        self._requests, self._latency = cache(requests.labels), cache(latency.labels)
        self._predictions, self._warnings = cache(predictions.labels), cache(warnings.labels)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._requests(route, status).inc()
        self._latency(route).observe(seconds)

    def predicted(self, version: str, assessments: Sequence[Assessment]) -> None:
        """Count predicted wines and what was unusual about them."""
        self._predictions(version).inc(len(assessments))
        for assessment in assessments:
            for unusual in assessment.warnings:
                self._warnings(unusual.field or "combination").inc()

    def render(self) -> bytes:
        """All counters in Prometheus' text format."""
        return generate_latest(self._registry)
