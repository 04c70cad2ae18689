"""Values and headings that users of other products reported, each with what it means here. The report is named."""

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from resolvers.telemetry.values.moments import NO_MOMENT, NO_OFFSET, SKIPPED, TWICE, MomentRules, parse_moments
from resolvers.telemetry.values.numbers import parse_numbers
from resolvers.telemetry.values.parsed import Parsed
from tests.resolvers.telemetry.test_headings import KEYS, match

DENVER, ANGELES = MomentRules("America/Denver"), MomentRules("America/Los_Angeles")
STRICT = MomentRules()


def outcome(parsed: Parsed) -> Any:
    return parsed.values[0] if parsed.reasons is None or parsed.reasons[0] is None else parsed.reasons[0]


@pytest.mark.parametrize(
    ("text", "rules", "means"),
    [
        # duckdb/duckdb#1627: PostgreSQL's COPY writes offsets of two digits
        ("2020-12-31 21:25:58.745232+02", STRICT, datetime(2020, 12, 31, 19, 25, 58, 745000, UTC)),
        # delta-io/delta-kernel-rs#2733: the offset was dropped, five hours off
        ("2024-06-15T14:30:00+05:00", STRICT, datetime(2024, 6, 15, 9, 30, tzinfo=UTC)),
        # jomjol/AI-on-the-edge-device#3082: a meter's log
        ("2024-05-23T10:45:21+0200", STRICT, datetime(2024, 5, 23, 8, 45, 21, tzinfo=UTC)),
        # NVIDIA/cudf#932: read as another day, depending on the column
        ("2016-04-30 04:26:40.000", STRICT, NO_OFFSET),
        ("2016-04-30 04:26:40.000", MomentRules("UTC"), datetime(2016, 4, 30, 4, 26, 40, tzinfo=UTC)),
        # NVIDIA/cudf#2657, pandas-dev/pandas#57512, #40774: day or month first, nobody can tell
        ("08/09/2016T01:02:03.04", STRICT, NO_MOMENT),
        ("01/29/2024 17:04:19", DENVER, NO_MOMENT),
        ("28.02.2014 02:00:00.000 GMT+0200", STRICT, NO_MOMENT),
        # apache/datafusion#4106: an hour that clocks left out was moved to the next
        ("2022-03-13 02:30", DENVER, SKIPPED.format("America/Denver")),
        ("2022-03-13 01:59", DENVER, datetime(2022, 3, 13, 8, 59, tzinfo=UTC)),
        # nadineproject/nadine#46, logstash-plugins/logstash-integration-jdbc#92: an hour that came twice
        ("2013-11-03 01:46:00", ANGELES, TWICE.format("America/Los_Angeles")),
        # battery-data-alliance/battery-data-format#50: an offset counts before a zone that was named
        ("2013-11-03 01:46:00-07:00", ANGELES, datetime(2013, 11, 3, 8, 46, tzinfo=UTC)),
    ],
)
def test_reported_times(text: str, rules: MomentRules, means: datetime | str) -> None:
    expected = round(means.timestamp() * 1000) if isinstance(means, datetime) else means

    assert outcome(parse_moments(pl.Series([text]), rules)) == expected


def test_epochs_of_two_units_in_one_column() -> None:
    """pandas-dev/pandas#17860: one unit for all made the others empty, or put them into 1970."""
    texts = ["1536507914000", "1536507915000", "1536507917123000", "1536507918000"]

    parsed = parse_moments(pl.Series(texts))

    assert parsed.values.to_list() == [1536507914000, 1536507915000, 1536507917123, 1536507918000]
    assert parsed.forms == {"epoch milliseconds", "epoch microseconds"}


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("00123.9629", 123.9629),  # jomjol/AI-on-the-edge-device#3082
        ("", None),  # GeoDaCenter/geoda#37: a blank failed the import
        ("nan", None),  # openturns/openturns#3064 and Blockstream/satellite#86: a receiver out of lock
        ("n/a", None),  # misoproject/dataset#97
        ("inf", "must be finite"),  # SciNim/Datamancer#20
    ],
)
def test_reported_readings(text: str, means: float | str | None) -> None:
    assert outcome(parse_numbers(pl.Series([text, "1"]))) == means


@pytest.mark.parametrize(
    "heading",
    [
        " esnoDb",  # hazelcast/hazelcast#24439, netbox-community/netbox#11929: a blank before a name lost the column
        "EsNo Db",  # continuum/active_importer#14
        "ES/NO DB",  # JoshClose/CsvHelper#232
        "Esno dB",  # everypolitician/everypolitician#495
    ],
)
def test_reported_headings(heading: str) -> None:
    assert match(*KEYS, heading).fields["3"] == "esno_db"
