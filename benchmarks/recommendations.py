"""Measures recommendations over HTTP, for analyses of a hundred links; compared with the smallest mutation there is.

    make bench          (or: python -m benchmarks.recommendations)

Server, PostgreSQL and client share the machine. Ten thousand outcomes are stored, for the ranking to count.
"""

import asyncio
import statistics
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import insert, select

from benchmarks.telemetry import seconds, tell
from benchmarks.world import Client, World, operation, world
from ml.catalogue.metrics import Direction
from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.detection.episodes import Severity
from ml.recommendation.case import FaultCase, Outcome, Priority, TrackRecord
from ml.recommendation.playbook.loading import default_playbook
from resolvers.store.postgres.identifiers import uuid7
from resolvers.store.tables import analysis_documents
from resolvers.store.tables.analyses import AnalysisScope, CorrelationAnalysis
from resolvers.store.tables.core import Anomaly, User
from resolvers.store.tables.recommendations import Recommendation
from schema.relay import global_id

ROUNDS: Final = 40
LINKS: Final = 100
OUTCOMES: Final = 10_000
NOW: Final = datetime.now(UTC)
CAUSES: Final = (
    (RootCause.EQUIPMENT_FAILURE, 0.7),
    (RootCause.SATELLITE_INTERFERENCE, 0.2),
    (RootCause.RAIN_FADE, 0.1),
)
RECOMMEND: Final = """mutation ($id: ID!) { recommend(for: { analysis: $id }) { ... on Recommendations {
  recommendations { id title description priority rankScore tags rootCause successRate sampleSize } } } }"""
JUDGE: Final = """mutation ($id: ID!) { judgeAnomaly(id: $id, verdict: TRUE_ALARM) { ... on Anomaly { id } } }"""


async def fill(made: World) -> tuple[list[str], str]:
    """Returns the ids of as many analyses as there are rounds, and of an anomaly."""
    hub = analysis_documents.Culprit(CulpritKind.SITE, 1)
    pattern = analysis_documents.Pattern(
        cause=RootCause.EQUIPMENT_FAILURE,
        culprit=hub,
        description=f"{LINKS} links lost up to 5.2 dB of Es/N0 outbound.",
        severity=0.7,
        confidence=0.9,
        started_at=NOW - timedelta(hours=1),
        ended_at=None,
        links=tuple(made.links[:LINKS]),
        directions=(Direction.OB,),
        evidence=(),
        hypotheses=tuple(analysis_documents.Hypothesis(cause, hub, chance) for cause, chance in CAUSES),
    )
    async with made.services.database.write() as session:
        somebody = await session.scalar(select(User.id).limit(1))  # else the server would recommend by itself
        analyses = [analysis(pattern, somebody) for _ in range(ROUNDS)]
        session.add_all(analyses)
        anomaly = Anomaly(**anomalous(made.links[0]))
        session.add(anomaly)
        await session.flush()
        await session.execute(insert(Recommendation), [tried(number, analyses[0].id) for number in range(OUTCOMES)])
    return [global_id("CorrelationAnalysis", one.id) for one in analyses], global_id("Anomaly", anomaly.id)


def analysis(pattern: analysis_documents.Pattern, by: int | None) -> CorrelationAnalysis:
    return CorrelationAnalysis(
        id=uuid7(),
        scope=AnalysisScope.HUB_ANTENNA,
        window_start=NOW - timedelta(hours=24),
        window_end=NOW,
        patterns=(pattern,),
        correlation_score=0.9,
        links_analyzed=LINKS,
        links_compared=LINKS,
        duration_ms=1.0,
        model_version="1.0.0",
        requested_by_id=by,
    )


def anomalous(link: int) -> dict[str, Any]:
    return {
        "kind": "LINK",
        "target_id": link,
        "direction": Direction.OB,
        "severity": Severity.LOW,
        "score": 0.1,
        "confidence": 0.5,
        "model_version": "1.0.0",
        "started_at": NOW,
        "last_seen_at": NOW,
        "contributions": [],
    }


def tried(number: int, subject: UUID) -> dict[str, Any]:
    cause = CAUSES[number % len(CAUSES)][0]
    remedies = default_playbook().by_cause[cause]
    return {
        "id": uuid7(),
        "subject_id": uuid7(),
        "analysis_id": subject,
        "action": remedies[number % len(remedies)].action.key,
        "root_cause": cause,
        "target_kind": CulpritKind.SITE,
        "target_id": number % 50,
        "title": "",
        "description": "",
        "tags": ["rf"],
        "priority": Priority.LOW,
        "rank_score": 0.5,
        "model_version": "1.0.0",
        "situation": FaultCase(CulpritKind.SITE, 0.5, 0.9, CAUSES),
        "past": TrackRecord(),
        "basis": b"",
        "superseded_at": NOW,
        "outcome": Outcome.SOLVED if number % 3 else Outcome.DID_NOT_HELP,
        "outcome_at": NOW,
    }


async def main() -> None:
    async with world(LINKS) as made, made.server() as client:
        print("| What | Measured | Against | Ratio | Target |\n|---|---|---|---|---|")
        analyses, anomaly = await fill(made)
        async with made.services.database.driver() as connection:
            await connection.execute("VACUUM ANALYZE recommendations")
        judge = operation(JUDGE, id=anomaly)
        bodies = [operation(RECOMMEND, id=one) for one in analyses]
        assert b"hub" in await client.answer(bodies[0])
        first = await turns(client, bodies[1:], judge)
        again = await turns(client, bodies[1:], judge)
        tell_of("`recommend`, analysis of 100 links, 10 000 outcomes on record", *first)
        tell_of("the same once more", *again)


async def turns(client: Client, bodies: list[bytes], other: bytes) -> tuple[float, float]:
    """Returns the median seconds of each; they take turns."""
    took = [(await seconds(lambda: client.answer(one)), await seconds(lambda: client.answer(other))) for one in bodies]  # noqa: B023
    return statistics.median(pair[0] for pair in took), statistics.median(pair[1] for pair in took)


def tell_of(what: str, ours: float, bare: float) -> None:
    against = f"`judgeAnomaly`: {bare * 1e3:.1f} ms"
    tell(what, f"{ours * 1e3:.1f} ms", against, f"{ours / bare:.1f}", "≤ 30 ms", reached=ours <= 0.030)


if __name__ == "__main__":
    asyncio.run(main())
