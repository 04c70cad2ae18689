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


@strawberry.type(description="One metric of a series. Each array has one value per time; null means not measured.")
class MetricColumn:
    metric: Metric
    unit: str = strawberry.field(description="Such as `dB`. Empty for a count or a ratio.")
    mean: FloatArray = strawberry.field(description="The mean of each bucket.", directives=[READING])
    min: FloatArray = strawberry.field(description="The lowest value of each bucket.", directives=[READING])
    max: FloatArray = strawberry.field(description="The highest value of each bucket.", directives=[READING])


@strawberry.type(
    description="Metrics over time, as columns. If there are more samples than `maxPoints`, they are grouped into"
    " buckets of equal length."
)
class MetricSeries:
    bucket_seconds: int | None = strawberry.field(
        description="The length of a bucket in seconds. Null if these are the samples themselves: then mean, min and"
        " max are equal."
    )
    times: TimeArray = strawberry.field(
        description="The times of the samples, or the starts of the buckets, ascending.", directives=[READING]
    )
    columns: list[MetricColumn] = strawberry.field(description="One for each metric.", directives=[FREE])

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


@strawberry.type(description="One metric over a window. All values are null if nothing was measured.")
class MetricStatistics:
    metric: Metric
    unit: str = strawberry.field(description="Such as `dB`. Empty for a count or a ratio.")
    count: int = strawberry.field(description="How many values were measured.")
    min: float | None
    max: float | None
    mean: float | None
    p95: float | None = strawberry.field(description="The 95th percentile. Estimated in windows of more than 7 days.")
    last: float | None = strawberry.field(description="The newest value.")


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
