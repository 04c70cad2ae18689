"""Versions of models for tests: made of a stored one, as training takes its time."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ml.catalogue.models import Measure, Trained
from resolvers.base.access import SYSTEM
from resolvers.context import Context, Services
from resolvers.models.models import promote
from resolvers.store.tables.models import ModelVersion
from tests.helpers.support import Api

LINK = "anomaly_link"
UNSEEN = "unseen fleets"
DETECT = """mutation { detectLinkAnomaly(input: { throughputMbps: 1, utilizationPct: 50, errors: 0, discards: 0,
  uptimePct: 100 }) { ... on Detection { modelVersion } } }"""


def measures(dataset: str = UNSEEN, **values: float) -> tuple[Measure, ...]:
    return tuple(Measure(name, value, 1000, dataset) for name, value in values.items())


async def variant(
    services: Services, name: str = LINK, *, number: int = 0, rival: Sequence[Measure] = (), **values: float
) -> Trained:
    """The champion with other bytes for each `number`, as if it had measured these `values`."""
    detector = (await services.registry.champion(name)).fitted
    unlike = replace(detector, confidence_y=detector.confidence_y * (1.0 - number / 1000.0))
    return Trained(
        artefact=unlike.to_bytes(),
        algorithm="a variant of the champion",
        features=("one", "two"),
        hyperparameters={"number": number, "share": 0.25, "kernel": "round"},
        seed=number,
        samples=12_345,
        details={"trained_on": "nothing", "days": [1, 2]},
        measures=measures(**values),
        rival_measures=tuple(rival),
    )


async def candidate(services: Services, version: str = "2.0.0", name: str = LINK, **given: Any) -> ModelVersion:
    number = sum(map(ord, version))
    return await services.registry.add(name, await variant(services, name, number=number, **given), version)


async def champion(services: Services, version: str, name: str = LINK) -> ModelVersion:
    """A candidate that was promoted."""
    row = await candidate(services, version, name)
    return await promote(Context(services, SYSTEM), row.id)


async def served(operator: Api) -> str:
    """The version that judges links."""
    answer: str = (await operator.run(DETECT))["detectLinkAnomaly"]["modelVersion"]
    return answer


async def until_served(operator: Api, version: str, seconds: float = 10.0) -> str:
    """What serves as soon as it is this version. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while (now := await served(operator)) != version:  # noqa: ASYNC110  another process tells by serving it
            await asyncio.sleep(0.01)
    return now
