"""Records a batch of samples of a link, in columns, and tells what became of each row."""

import argparse
import time
from typing import Any

from client import Refused, Session, expect, run

FIRST = "query FirstLink { links(first: 1) { nodes { number } } }"
USUAL = """
query Usual($number: Int!) {
  link(number: $number) {
    name
    statistics(direction: OB, metrics: [RX_LEVEL_DBM, LATENCY_MS]) { metric mean }
  }
}"""
RECORD = """
mutation Record($columns: LinkColumns!) {
  recordLinkColumns(columns: $columns) {
    __typename
    ... on RecordedMetrics {
      accepted duplicates rejectedCount rejected { row reason } leftOut { column reason count }
      anomalies { status severity confidence }
    }
    ... on InvalidInput { message }
    ... on Forbidden { message }
  }
}"""
FADE_DB = 25


async def usual(session: Session, number: int) -> dict[str, float]:
    """What the link has measured lately; plausible values where it has measured nothing."""
    link = (await session.execute(USUAL, number=number))["link"]
    if link is None:
        raise Refused(f"There is no link {number}.", "NotFound")
    means = {entry["metric"]: entry["mean"] for entry in link["statistics"] if entry["mean"] is not None}
    return {"RX_LEVEL_DBM": -45.0, "LATENCY_MS": 600.0, **means}


def batch(number: int, usual: dict[str, float], fade: float) -> dict[str, Any]:
    """Five minutes of one link, a row of a link that is not there, and one with a level that cannot be."""
    now, rows = int(time.time() * 1000), 5
    levels = [usual["RX_LEVEL_DBM"]] * (rows - 1) + [usual["RX_LEVEL_DBM"] - fade]
    return {
        "link": [number] * rows + [0, number],
        "direction": ["OB"] * (rows + 2),
        "at": [now - 60_000 * (rows - 1 - row) for row in range(rows)] + [now, now - 30_000],
        "rxLevelDbm": [*levels, -45.0, 999.0],
        "latencyMs": [usual["LATENCY_MS"]] * (rows + 2),
    }


async def record(session: Session, columns: dict[str, Any]) -> None:
    answer = await session.execute(RECORD, columns=columns)
    recorded = expect("RecordedMetrics", answer["recordLinkColumns"])
    print(f"{recorded['accepted']} accepted, {recorded['duplicates']} duplicates, {recorded['rejectedCount']} rejected")
    for row in recorded["rejected"]:
        print(f"  row {row['row']}: {row['reason']}")
    for cells in recorded["leftOut"]:
        print(f"  {cells['count']} left out of {cells['column']}: {cells['reason']}")
    for anomaly in recorded["anomalies"]:
        print(f"  anomaly: {anomaly['status']}, {anomaly['severity']}, confidence {anomaly['confidence']:.2f}")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--link", type=int, help="its number (the first one's)")
    parser.add_argument("--fault", action="store_true", help=f"the newest sample is {FADE_DB} dB below the usual")
    wanted = parser.parse_args()
    session = Session()
    number = wanted.link or (await session.execute(FIRST))["links"]["nodes"][0]["number"]
    columns = batch(number, await usual(session, number), FADE_DB if wanted.fault else 0)
    print(f"Link {number}:")
    await record(session, columns)
    print("The same once more, as after a lost answer:")
    await record(session, columns)


if __name__ == "__main__":
    run(main())
