"""What Prometheus may ask: requests, latency, predictions by version and warnings by measurement."""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from threading import Lock
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from wine_serving.assessing import Assessment
from wine_serving.predictions import PredictionLog

BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)  # seconds


class Metrics(Collector):
    """The counters of one app: plain numbers, which are made Prometheus' when it asks; its own take a lock for each."""

    def __init__(self, log: PredictionLog | None) -> None:
        self._log = log
        self._requests: Counter[tuple[str, str]] = Counter()
        self._latency: defaultdict[str, list[float]] = defaultdict(
            lambda: [0.0] * (len(BUCKETS) + 2)
        )  # the last: the sum
        self._predictions: Counter[str] = Counter()
        self._warnings: Counter[str] = Counter()
        self._lock = Lock()  # predictions come from several threads, requests from one
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._registry.register(self)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count one answered request; from the event loop."""
        self._requests[route, str(status)] += 1
        latency = self._latency[route]
        latency[bisect_left(BUCKETS, seconds)] += 1
        latency[-1] += seconds

    def predicted(self, version: str, assessments: Sequence[Assessment]) -> None:
        """Count predicted wines and what was unusual about them; from any thread."""
        with self._lock:
            self._predictions[version] += len(assessments)
            for assessment in assessments:
                for unusual in assessment.warnings:
                    self._warnings[unusual.field or "combination"] += 1

    def collect(self) -> Iterator[Metric]:
        """All counters, as Prometheus has them."""
        requests = CounterMetricFamily(
            "wine_requests", "Answered requests by route and status", labels=["route", "status"]
        )
        latency = HistogramMetricFamily("wine_request_seconds", "Time to answer by route", labels=["route"])
        predictions = CounterMetricFamily(
            "wine_predictions", "Predicted wines by model version", labels=["model_version"]
        )
        warnings = CounterMetricFamily(
            "wine_warnings", "Wines unlike the training wines, by measurement", labels=["field"]
        )
        lost = CounterMetricFamily("wine_log_lines_lost", "Lines of the prediction log that nobody read")
        for labels, count in [*self._requests.items()]:
            requests.add_metric(labels, count)
        for route, counts in [*self._latency.items()]:
            below = [sum(counts[: place + 1]) for place in range(len(BUCKETS) + 1)]
            names = [*map(str, BUCKETS), "+Inf"]
            latency.add_metric([route], [*zip(names, below, strict=True)], counts[-1])
        for version, count in [*self._predictions.items()]:
            predictions.add_metric([version], count)
        for field, count in [*self._warnings.items()]:
            warnings.add_metric([field], count)
        lost.add_metric([], self._log.lost if self._log else 0)
        yield from (requests, latency, predictions, warnings, lost)

    def render(self) -> bytes:
        """All counters in Prometheus' text format."""
        return generate_latest(self._registry)
