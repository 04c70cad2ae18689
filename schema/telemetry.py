"""Telemetry as clients see it."""

from collections.abc import Sequence

import strawberry

from ml.catalogue.metrics import CATALOGUE, Metric, TargetKind
from resolvers.context import Context
from resolvers.lists.loaders import SeriesRequest
from resolvers.store.telemetry.series import Series, Span
from resolvers.telemetry import recording as metrics
from schema.directives import FREE, READING
from schema.inputs import TimeWindow
from schema.relay import Info, Node
from schema.scalars import FloatArray, TimeArray


@strawberry.type
class MetricColumn:
    metric: Metric
    unit: str
    mean: FloatArray = strawberry.field(directives=[READING])
    min: FloatArray = strawberry.field(directives=[READING])
    max: FloatArray = strawberry.field(directives=[READING])


@strawberry.type(
    description="Columnar: every array has one entry per time. Down-sampled to at most maxPoints buckets; a raw series"
    " has bucketSeconds null and mean = min = max."
)
class MetricSeries:
    bucket_seconds: int | None
    times: TimeArray = strawberry.field(directives=[READING])
    columns: list[MetricColumn] = strawberry.field(directives=[FREE])

    @classmethod
    def of(cls, kind: TargetKind, series: Series) -> "MetricSeries":
        columns = [
            MetricColumn(
                metric=metric,
                unit=CATALOGUE[kind].spec(metric).unit,
                mean=FloatArray(mean),
                min=FloatArray(series.low[metric]),
                max=FloatArray(series.high[metric]),
            )
            for metric, mean in series.mean.items()
        ]
        return cls(bucket_seconds=series.bucket_seconds, times=TimeArray(series.times), columns=columns)


@strawberry.type
class MetricStatistics:
    metric: Metric
    unit: str
    count: int
    min: float | None
    max: float | None
    mean: float | None
    p95: float | None
    last: float | None = strawberry.field(description="The newest value in the window.")


Wanted = Sequence[Metric] | None


def _span(context: Context, kind: TargetKind, direction: str, wanted: Wanted, window: TimeWindow | None) -> Span:
    window = window or TimeWindow()
    hours = 24 if window.hours is None else window.hours
    return metrics.build_span(context, kind, direction, wanted, window.from_, window.to, hours)


async def series_of(
    node: Node, info: Info, direction: str, wanted: Wanted, window: TimeWindow | None, max_points: int | None
) -> MetricSeries:
    kind = TargetKind(type(node).__name__.upper())
    most = metrics.check_max_points(1000 if max_points is None else max_points)
    request = SeriesRequest(_span(info.context, kind, direction, wanted, window), most)
    return MetricSeries.of(kind, await info.context.loaders.series.load((request, node.row.id)))


async def statistics_of(
    node: Node, info: Info, direction: str, wanted: Wanted, window: TimeWindow | None
) -> list[MetricStatistics]:
    kind = TargetKind(type(node).__name__.upper())
    span = _span(info.context, kind, direction, wanted, window)
    found = await info.context.loaders.statistics.load((span, node.row.id))
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
        )
        for s in found
    ]
