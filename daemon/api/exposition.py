"""The daemon's counters in the form that Prometheus scrapes; the registry is our own, so it holds nothing else."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from daemon.metrics import Metrics

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_MEANING: Final[Mapping[str, str]] = {
    "changes": "Changes of entities read from the stream.",
    "executions": "Executions created.",
    "refusals": "Candidates that did not run.",
    "steps": "Steps recorded, whatever their outcome.",
    "retries": "Attempts that will be made again.",
    "postponements": "Steps put off until a host or a full limit takes them.",
    "completed": "Executions that ended completed.",
    "failed": "Executions that ended failed.",
    "cancelled": "Executions that ended cancelled.",
}

Gauges = Callable[[], Mapping[str, tuple[str, float | None]]]


class Exposition:
    """Turns metrics into text when asked."""

    def __init__(self, metrics: Metrics, gauges: Gauges) -> None:
        """``gauges`` returns name → (meaning, value now); None where there is no value."""
        self._registry = CollectorRegistry()
        self._registry.register(_Totals(metrics, gauges))
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """Return everything as it is now."""
        return generate_latest(self._registry)


class _Totals(Collector):
    def __init__(self, metrics: Metrics, gauges: Gauges) -> None:
        self._metrics = metrics
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        """Yield one family a counter and a gauge."""
        for field in fields(self._metrics):
            value = getattr(self._metrics, field.name)
            if isinstance(value, int):
                meaning = _MEANING.get(field.name, field.name)
                yield CounterMetricFamily(f"reflexd_{field.name}", meaning, value=value)
        for name, (meaning, now) in self._gauges().items():
            if now is not None:
                yield GaugeMetricFamily(f"reflexd_{name}", meaning, value=now)
