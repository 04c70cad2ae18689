"""The ranking learns from what operators recorded: all of it, or a window's, beside what it imagines."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from bcom_graphql.cli.champions import ensure_champions
from bcom_graphql.cli.output import progress_bar
from ml.catalogue.models import PRIORITY, RANKING, Progress, Trained
from ml.recommendation.case import Outcome
from ml.recommendation.feedback import Feedback
from ml.recommendation.training import TrainingSize, train_priority, train_ranking
from resolvers.base.access import SYSTEM
from resolvers.base.roles import Role
from resolvers.context import Context, Services
from resolvers.models import training
from resolvers.models.trainer import Outcome as TrainingOutcome
from resolvers.models.trainer import perform
from resolvers.models.training import Period
from tests.helpers.support import Api, Factory, ago, id_of, sql
from tests.resolvers.recommendations.test_recommendations import faded, failing_hub, outcomes, recommended, record

TRAINERS: dict[str, Callable[..., Trained]] = {RANKING: train_ranking, PRIORITY: train_priority}
BRIEF = TrainingSize(incidents=150, held_out=40)


async def trained(services: Services, model: str, period: Period | None = None) -> tuple[TrainingOutcome, Any]:
    """What a training brings, and what it learned from."""
    seen: list[Any] = []

    def watching(name: str, seed: int, progress: Progress, learned: Any, champion: Any) -> Trained:
        seen.append(learned)
        return TRAINERS[name](seed, progress, learned, champion, size=BRIEF)

    run = await training.queue(Context(services, SYSTEM), model, period)
    outcome = await perform(services, run.id, watching)
    [learned] = seen
    return outcome, learned


@pytest.mark.parametrize("model", [RANKING, PRIORITY])
async def test_a_training_learns_from_what_was_recorded(
    api: Api, make: Factory, services: Services, model: str
) -> None:
    operator = await api.as_(Role.OPERATOR)
    one, other, *_ = await recommended(operator, anomaly=await faded(make))
    analysis, _ = await failing_hub(services, make)
    [third, *_] = await recommended(operator, analysis=analysis)
    for id, told in ((one["id"], "SOLVED"), (other["id"], "REJECTED"), (third["id"], "DID_NOT_HELP")):
        await record(operator, id, told)

    outcome, learned = await trained(services, model)

    feedback: Sequence[Feedback] = learned
    assert [one.outcome for one in feedback] == [Outcome.SOLVED, Outcome.REJECTED, Outcome.DID_NOT_HELP]
    assert [one.cause for one in feedback] == [None, None, third["rootCause"]]
    assert feedback[0].group == feedback[1].group != feedback[2].group
    assert feedback[0].case.shares
    assert outcome.trained.details["recorded_outcomes"] == 3
    assert {one.name for one in outcome.trained.rival_measures} == {one.name for one in outcome.trained.measures}
    assert not outcome.serves, "the champion goes on until somebody promotes this one"


async def test_a_window_takes_what_was_recorded_in_it(api: Api, make: Factory, services: Services) -> None:
    operator = await api.as_(Role.OPERATOR)
    old, new, *_ = await recommended(operator, anomaly=await faded(make))
    await record(operator, old["id"], "SOLVED")
    await sql(services, f"UPDATE recommendations SET outcome_at = '{ago(days=3).isoformat()}' WHERE outcome = 'SOLVED'")
    await record(operator, new["id"], "DID_NOT_HELP")

    _, learned = await trained(services, RANKING, Period(hours=24))

    assert [one.outcome for one in learned] == [Outcome.DID_NOT_HELP]


async def test_many_outcomes_are_measured_on_too(api: Api, make: Factory, services: Services) -> None:
    operator = await api.as_(Role.OPERATOR)
    [one, *_] = await recommended(operator, anomaly=await faded(make))
    [(action,)] = await _rows(services, "SELECT action FROM recommendations ORDER BY rank_score DESC LIMIT 1")
    await outcomes(services, action, Outcome.SOLVED, 60)
    await record(operator, one["id"], "SOLVED")

    outcome, learned = await trained(services, PRIORITY)

    assert len(learned) == 61
    assert "recorded outcomes" in {one.dataset for one in outcome.trained.measures}


async def _rows(services: Services, query: str) -> list[Any]:
    async with services.database.driver() as connection:
        return [tuple(row) for row in await connection.fetch(query)]


async def test_everybody_sees_how_good_the_ranking_is_beside_the_plain_rules(api: Api) -> None:
    viewer = await api.as_(Role.VIEWER)
    document = """query ($name: String!) { model(name: $name) { champion { algorithm features trainingSamples
      metrics { name value dataset samples } } } }"""

    ranking, priority = [
        {one["name"]: one["value"] for one in (await viewer.run(document, name=name))["model"]["champion"]["metrics"]}
        for name in (RANKING, PRIORITY)
    ]

    assert ranking["ndcg_at_3"] > ranking["rule_ndcg_at_3"] + 0.03
    assert priority["accuracy"] > priority["rule_accuracy"] + 0.1


async def test_without_a_champion_the_next_start_makes_the_shipped_one_serve(
    api: Api, make: Factory, services: Services
) -> None:
    await sql(services, f"DELETE FROM champions WHERE model = '{RANKING}'")
    operator = await api.as_(Role.OPERATOR)
    anomaly = await faded(make)
    document = """mutation ($for: RecommendFor!) { recommend(for: $for) { __typename } }"""
    before = await operator.execute(document, **{"for": {"anomaly": id_of(anomaly)}})

    await ensure_champions(services, progress_bar())

    assert before["errors"][0]["extensions"]["code"] == "SERVICE_UNAVAILABLE"
    assert "run `bcom-graphql train`" in json.dumps(before)
    assert len(await recommended(operator, anomaly=anomaly)) >= 3
