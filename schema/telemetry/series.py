"""Series and statistics of a network, a site or a link."""

from collections.abc import Sequence

from ml.catalogue.metrics import CATALOGUE, Metric, TargetKind
from resolvers.context import Context
from resolvers.lists.loaders import SeriesRequest
from resolvers.store.telemetry.series import Span
from resolvers.telemetry import recording
from schema.relay import Info, Node
from schema.telemetry.inputs import TimeWindow
from schema.telemetry.types import MetricSeries, MetricStatistics

MetricNames = Sequence[Metric] | None


def _build_span(
    context: Context, kind: TargetKind, direction: str, wanted: MetricNames, window: TimeWindow | None
) -> Span:
    window = window or TimeWindow()
    hours = 24 if window.hours is None else window.hours
    return recording.build_span(context, kind, direction, wanted, window.from_, window.to, hours)


async def load_series(
    node: Node, info: Info, direction: str, wanted: MetricNames, window: TimeWindow | None, max_points: int | None
) -> MetricSeries:
    kind = TargetKind(type(node).__name__.upper())
    most = recording.check_max_points(1000 if max_points is None else max_points)
    request = SeriesRequest(_build_span(info.context, kind, direction, wanted, window), most)
    return MetricSeries.from_series(kind, await info.context.loaders.series.load((request, node.row.id)))


async def load_statistics(
    node: Node, info: Info, direction: str, wanted: MetricNames, window: TimeWindow | None
) -> list[MetricStatistics]:
    kind = TargetKind(type(node).__name__.upper())
    span = _build_span(info.context, kind, direction, wanted, window)
    rows = await info.context.loaders.statistics.load((span, node.row.id))
    return [
        MetricStatistics(
            metric=s.metric,
            unit=CATALOGUE[kind].spec(s.metric).unit,
            count=s.count,
            min=s.min,
            max=s.max,
            mean=s.mean,
            p95=s.p95,
            last=s.last,
            last_at=s.last_at,
        )
        for s in rows
    ]
