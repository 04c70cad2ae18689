"""Series, statistics, and the results of recording samples."""

from datetime import datetime
from typing import Any

import strawberry

from ml.catalogue.metrics import CATALOGUE, Metric, TargetKind
from resolvers.store.telemetry.series import Series
from schema.directives import FREE, READING_COST
from schema.enums import Direction
from schema.relay import lazy_type
from schema.scalars import FloatArray, TimeArray
from schema.telemetry.imports import ImportedColumn

LINK = lazy_type("Link", "schema.fleet.types")
ANOMALY = lazy_type("Anomaly", "schema.anomalies.types")


@strawberry.type(description="One metric of a series. Each array has one value per time; null means not measured.")
class MetricColumn:
    metric: Metric
    unit: str = strawberry.field(description="Such as `dB`. Empty for a count or a ratio.")
    mean: FloatArray = strawberry.field(description="The mean of each bucket.", directives=[READING_COST])
    min: FloatArray = strawberry.field(description="The lowest value of each bucket.", directives=[READING_COST])
    max: FloatArray = strawberry.field(description="The highest value of each bucket.", directives=[READING_COST])


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
        description="The times of the samples, or the starts of the buckets, ascending.", directives=[READING_COST]
    )
    columns: list[MetricColumn] = strawberry.field(description="One for each metric.", directives=[FREE])

    @classmethod
    def from_series(cls, kind: TargetKind, series: Series) -> "MetricSeries":
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
    last_at: datetime | None = strawberry.field(description="When the newest value was measured.")


@strawberry.type(description="New samples of one direction of a link, as they were recorded.")
class LinkMetricsEvent:
    link: Any = strawberry.field(graphql_type=LINK)
    direction: Direction
    series: MetricSeries


@strawberry.type(description="A sample that was not stored.")
class RejectedSample:
    row: int = strawberry.field(description="Its position in the input, from 0.")
    line: int | None = strawberry.field(
        description="Its line in a CSV file, or its row in a Parquet file, from 1. Null if it came in no file."
    )
    reason: str = strawberry.field(description="What is wrong with it.")


@strawberry.type(description="Values of one metric that were left out for the same reason.")
class LeftOutCells:
    column: str = strawberry.field(description="The input's field, such as `esnoDb`.")
    reason: str = strawberry.field(description="What is wrong with them.")
    count: int = strawberry.field(description="How many there are.")
    example: str = strawberry.field(description="The first of them.")


@strawberry.type(description="What became of the samples that were sent. Sending them again is safe.")
class RecordedMetrics:
    accepted: int = strawberry.field(description="The number of samples that are now stored and scored.")
    duplicates: int = strawberry.field(
        description="The number of samples with a target, direction and time that is already stored, or came earlier"
        " in the same input."
    )
    merged: int = strawberry.field(
        description="Of the duplicates: those that filled in metrics of the stored sample that were null. It is scored"
        " again."
    )
    conflicting: int = strawberry.field(
        description="Of the duplicates: those with another value than the stored one, which stays. See `replace`."
    )
    replaced: int = strawberry.field(
        description="Of the duplicates: those that replaced a stored value, as `replace` was true."
    )
    rejected_count: int = strawberry.field(
        description="The number of samples that were not stored, for example because their target is unknown, their"
        " time is more than 5 minutes ahead, or all their values are impossible."
    )
    rejected: list[RejectedSample] = strawberry.field(
        description="The first 100 samples that were not stored, and why."
    )
    left_out_count: int = strawberry.field(
        description="The number of impossible or unreadable values in the other samples. They count as not measured."
    )
    left_out: list[LeftOutCells] = strawberry.field(
        description="These values by column and reason, the most frequent first; at most 50 entries."
    )
    anomalies: list[Any] = strawberry.field(
        graphql_type=list[ANOMALY],  # type: ignore[valid-type]
        description="Anomalies that these samples opened, extended or ended.",
    )
    rows: int = strawberry.field(description="The number of samples that were sent, or rows of the file.")
    columns: list[ImportedColumn] = strawberry.field(
        description="The columns of the file that were read, and what became of their cells. Empty without a file.",
        directives=[FREE],
    )
    ignored_columns: list[str] = strawberry.field(
        description="The headings of the file's columns that were not read. Empty without a file.", directives=[FREE]
    )
    warnings: list[str] = strawberry.field(
        description="What a person should look at, in sentences: a large share of a file's rows or values that could"
        " not be used, columns that look like ours but were not read, times whose unit was found out.",
        directives=[FREE],
    )
