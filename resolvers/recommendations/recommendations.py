"""Recommendations: asking for them, recording their outcomes, listing and following them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, or_, select

from ml.catalogue.root_causes import RootCause
from ml.recommendation.advice import Rankers
from ml.recommendation.case import Outcome, Priority
from resolvers.base.errors import Conflict, InvalidInput, NotFound
from resolvers.base.roles import Role
from resolvers.context import Context
from resolvers.lists.listings import Listing, cached_listing
from resolvers.lists.pagination import Page, Window, fetch_page
from resolvers.recommendations import incident_advice
from resolvers.recommendations.cases import Row
from resolvers.recommendations.recommender import TOPIC, RecommendationChange, make_event, recommend
from resolvers.store.events.followers import Events, filter_events
from resolvers.store.events.log import publish
from resolvers.store.tables.analyses import CorrelationAnalysis
from resolvers.store.tables.core import Anomaly, AuditEntry, Detection
from resolvers.store.tables.recommendations import Recommendation, SupersededReason

TO: Final = "ask for recommendations"
TOLD_AFTERWARDS: Final = (SupersededReason.ENDED, SupersededReason.RESOLVED)  # only then is known what helped

# ---------------------------------------------------------------- asking


async def recommend_for_anomaly(context: Context, anomaly_id: UUID) -> list[Recommendation]:
    """Returns what to do about an anomaly, best first. Raises NotFound, Unavailable."""
    caller = context.require(Role.OPERATOR, TO)
    return await propose(context, Anomaly, anomaly_id, caller.author_id)


async def recommend_for_detection(context: Context, detection_id: UUID) -> list[Recommendation]:
    """Returns what to do about a detection, or about the anomaly that it is part of. Raises NotFound, Unavailable."""
    caller = context.require(Role.OPERATOR, TO)
    return await propose(context, Detection, detection_id, caller.author_id)


async def recommend_for_analysis(context: Context, analysis_id: UUID) -> list[Recommendation]:
    """Returns what to do about all patterns of an analysis. Raises NotFound, Unavailable."""
    caller = context.require(Role.OPERATOR, TO)
    return await propose(context, CorrelationAnalysis, analysis_id, caller.author_id)


async def recommend_for_incident(context: Context, incident_id: UUID) -> list[Recommendation]:
    """Returns what to do about an incident, or about the one that it was merged into. Raises NotFound, Unavailable."""
    caller = context.require(Role.OPERATOR, TO)
    return await propose_for_incident(context, incident_id, caller.author_id)


async def propose(
    context: Context, of: type[Anomaly] | type[Detection] | type[CorrelationAnalysis], key: UUID, by: int | None
) -> list[Recommendation]:
    """Returns the recommendations for a row; for an anomaly of an incident, the incident's.

    Raises NotFound, Unavailable where a model was never trained.
    """
    rankers = await _load_rankers(context)
    async with context.database.write() as session:
        row: Row | None = await session.get(of, key)
        if isinstance(row, Detection) and row.anomaly_id is not None:
            row = await session.get(Anomaly, row.anomaly_id)
        if row is None:
            raise NotFound("analysis" if of is CorrelationAnalysis else of.__name__.lower())
        if isinstance(row, Anomaly) and row.incident_id is not None:
            return await incident_advice.recommend_for_incident(session, row.incident_id, rankers, by, context.now)
        return await recommend(session, row, rankers, by, context.now)


async def propose_for_incident(context: Context, incident_id: UUID, by: int | None) -> list[Recommendation]:
    """Returns the recommendations for an incident. Raises NotFound, Unavailable where a model was never trained."""
    rankers = await _load_rankers(context)
    async with context.database.write() as session:
        return await incident_advice.recommend_for_incident(session, incident_id, rankers, by, context.now)


async def _load_rankers(context: Context) -> Rankers:
    registry = context.services.registry
    return Rankers(context.services.playbook, await registry.ranking(), await registry.priority())


# ---------------------------------------------------------------- recording outcomes


async def record_outcome(
    context: Context, recommendation_id: UUID, outcome: Outcome, note: str | None
) -> Recommendation:
    """Records what became of a recommendation. A later outcome replaces an earlier one; the history keeps both.

    Raises InvalidInput, NotFound, Conflict.
    """
    caller = context.require(Role.OPERATOR, "record outcomes")
    if outcome is Outcome.PENDING:
        raise InvalidInput(
            "PENDING means that no outcome is recorded. Record ACCEPTED, SOLVED, DID_NOT_HELP or REJECTED.", ["outcome"]
        )
    async with context.database.write() as session:
        row = await session.get(Recommendation, recommendation_id, with_for_update=True)
        if row is None:
            raise NotFound("recommendation")
        if row.superseded_at is not None and row.superseded_because not in TOLD_AFTERWARDS:
            raise Conflict(
                "This recommendation was superseded as the situation changed. Ask for recommendations again, and record"
                " the outcome on one of those."
            )
        row.outcome, row.outcome_note, row.outcome_at = outcome, note, context.now
        session.add(AuditEntry(subject_id=row.id, by_id=caller.author_id, action=outcome, note=note, at=context.now))
        await session.flush()
        publish(session, make_event(row, outcome))
    return row


# ---------------------------------------------------------------- listing

_IS_PRESENT: Final = Recommendation.superseded_at.is_(None)


@dataclass(frozen=True)
class RecommendationFilter:
    """Which recommendations to list; all conditions that are given must hold."""

    priorities: tuple[Priority, ...] | None = None
    tags: tuple[str, ...] | None = None  # any of them
    outcomes: tuple[Outcome, ...] | None = None
    root_cause: RootCause | None = None
    anomaly: UUID | None = None  # or its incident
    incident: UUID | None = None
    created_after: datetime | None = None
    superseded: bool = False  # include superseded ones

    def conditions(self) -> list[ColumnElement[bool]]:
        conditions: list[ColumnElement[bool]] = []
        if self.priorities is not None:
            conditions.append(Recommendation.priority.in_(self.priorities))
        if self.tags is not None:
            conditions.append(Recommendation.tags.overlap([*self.tags]))
        if self.outcomes is not None:
            conditions.append(Recommendation.outcome.in_(self.outcomes))
        if self.root_cause is not None:
            conditions.append(Recommendation.root_cause == self.root_cause)
        if self.anomaly is not None:
            its_incident = select(Anomaly.incident_id).where(Anomaly.id == self.anomaly).scalar_subquery()
            own = (Recommendation.anomaly_id == self.anomaly, Recommendation.incident_id == its_incident)
            conditions.append(or_(*own))
        if self.incident is not None:
            conditions.append(Recommendation.incident_id == self.incident)
        if self.created_after is not None:
            conditions.append(Recommendation.created_at >= self.created_after)
        return conditions if self.superseded else [*conditions, _IS_PRESENT]


@cached_listing
def build_listing(filter: RecommendationFilter) -> Listing[Recommendation]:
    """Returns the list of recommendations, newest first."""
    order = (Recommendation.created_at, Recommendation.id)
    return Listing(Recommendation, order, descending=True, conditions=tuple(filter.conditions()))


@cached_listing
def build_anomaly_listing() -> Listing[Recommendation]:
    """Returns the lists of each anomaly's present recommendations, best first: those of its incident, and its own."""
    of_it = or_(Recommendation.anomaly_id == Anomaly.id, Recommendation.incident_id == Anomaly.incident_id)
    pairs = select(Anomaly.id.label("parent"), Recommendation.id.label("child")).join(Recommendation, of_it)
    order = (Recommendation.rank_score, Recommendation.id)
    return Listing(Recommendation, order, descending=True, conditions=(_IS_PRESENT,), relation=pairs)


async def list_recommendations(context: Context, filter: RecommendationFilter, window: Window) -> Page[Recommendation]:
    """Returns a page of recommendations, newest first."""
    context.require(Role.VIEWER, "see recommendations")
    return await fetch_page(context.database, build_listing(filter), window, context.columns_of(Recommendation))


# ---------------------------------------------------------------- following


def follow_created(context: Context, after: str | None) -> Events:
    """Returns events of new recommendations. Raises InvalidInput for a bad cursor at once; later Expired, Lagged."""
    context.require(Role.VIEWER, "follow recommendations")
    return filter_events(context.follow(TOPIC, after), lambda event: event.change == RecommendationChange.CREATED)
