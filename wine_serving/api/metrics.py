"""What Prometheus may ask: requests, latency, predictions by version and warnings by measurement."""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from wine_serving.api.call import Call
from wine_serving.api.log import PredictionLog

BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)  # seconds

UP_TO: Final = (*map(str, BUCKETS), "+Inf")


class Metrics(Collector):
    """The counters of one app: plain numbers, which are made Prometheus' when it asks; its own take a lock for each."""

    def __init__(self, log: PredictionLog | None) -> None:
        self._log = log
        self._requests: Counter[tuple[str, int]] = Counter()
        self._latency: defaultdict[str, list[float]] = defaultdict(
            lambda: [0.0] * (len(BUCKETS) + 2)
        )  # the last: the sum
        self._predictions: Counter[tuple[str]] = Counter()
        self._warnings: Counter[tuple[str]] = Counter()
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._registry.register(self)

    def answered(self, call: Call) -> None:
        """Count one answered request, its wines, and what was unusual about them; from the event loop."""
        seconds = call.seconds()
        self._requests[call.route, call.status] += 1
        latency = self._latency[call.route]
        latency[bisect_left(BUCKETS, seconds)] += 1
        latency[-1] += seconds
        if call.assessed:
            version, assessments = call.assessed
            self._predictions[version,] += len(assessments)
            for assessment in assessments:
                for unusual in assessment.warnings:
                    self._warnings[unusual.field or "combination",] += 1

    def collect(self) -> Iterator[Metric]:
        """All counters, as Prometheus has them."""
        for name, told, labels, counts in (
            ("requests", "Answered requests by route and status", ("route", "status"), self._requests),
            ("predictions", "Predicted wines by model version", ("model_version",), self._predictions),
            ("warnings", "Wines unlike the training wines, by measurement", ("field",), self._warnings),
            (
                "log_lines_lost",
                "Lines of the prediction log that nobody read",
                (),
                {(): self._log.lost if self._log else 0},
            ),
        ):
            family = CounterMetricFamily(f"wine_{name}", told, labels=labels)
            for values, count in [*counts.items()]:
                family.add_metric([*map(str, values)], count)
            yield family
        latency = HistogramMetricFamily("wine_request_seconds", "Time to answer by route", labels=["route"])
        for route, (*each, seconds) in [*self._latency.items()]:
            latency.add_metric([route], [*zip(UP_TO, accumulate(each), strict=True)], seconds)
        yield latency

    def render(self) -> bytes:
        """All counters in Prometheus' text format."""
        return generate_latest(self._registry)
