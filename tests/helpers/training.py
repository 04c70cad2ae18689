"""Trainers that do what a test says, and what tests ask of trainings."""

import asyncio
import threading
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from ml.catalogue.models import History, Measure, Progress, Trained
from ml.detection.detector import Detector
from resolvers.base.errors import ClientError
from resolvers.context import Services
from resolvers.models.trainer import perform
from tests.helpers.support import Api

RUN = "id model status progress message createdAt startedAt finishedAt startedBy { email } version { version stage }"
TRAIN = f"""mutation ($input: TrainModelInput!) {{ trainModel(input: $input) {{ __typename
  ... on TrainingRun {{ {RUN} }} ... on InvalidInput {{ message path }} ... on Conflict {{ message }} }} }}"""
FOLLOW = f"subscription ($run: ID!) {{ trainingProgress(run: $run) {{ {RUN} }} }}"
LIST = f"{{ trainingRuns {{ totalCount nodes {{ {RUN} }} }} }}"
SITE, LINK, NETWORK = "anomaly_site", "anomaly_link", "anomaly_network"
STEPS = 4
MEASURE = Measure("event_recall", 0.9, 100, "nothing at all")


@dataclass
class Lesson:
    """For `ml.detection.training.train`: goes on a step when the test lets it, and brings the champion again."""

    steps: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    fails: Exception | None = None
    history: History | None = None
    artefact: bytes = b""

    def __call__(
        self, name: str, seed: int, progress: Progress, history: History | None, champion: Detector | None
    ) -> Trained:
        self.history = history
        for step in range(1, STEPS + 1):
            progress(step / STEPS, f"step {step}")
            assert self.steps.acquire(timeout=20), "the test forgot about this lesson"
        if self.fails:
            raise self.fails
        artefact = champion.to_bytes() if champion else self.artefact
        return Trained(artefact, "copying", ("one",), {"steps": STEPS}, seed, 1000, {}, (MEASURE,), (MEASURE,))

    def go_on(self, steps: int = STEPS) -> None:
        self.steps.release(steps)


@dataclass
class InProcess:
    """In place of the processes: works on the runs here, with `lesson` as the trainer."""

    lesson: Lesson = field(default_factory=Lesson)
    services: Services = field(init=False)
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    def take_over(self, services: Services) -> Services:
        self.services = replace(services, trainers=self)
        return self.services

    async def launch(self, run_id: UUID) -> None:
        self.tasks.add(asyncio.create_task(self._work(run_id)))

    async def _work(self, run_id: UUID) -> None:
        with suppress(ClientError):
            await perform(self.services, run_id, self.lesson)

    async def stop(self) -> None:
        """Unlike processes, these may end in peace."""
        self.lesson.go_on(100)
        if self.tasks:
            await asyncio.wait(self.tasks)

    async def interrupt(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)


async def train(api: Api, model: str = SITE, **input: Any) -> dict[str, Any]:
    """What `trainModel` answers."""
    answer: dict[str, Any] = (await api.run(TRAIN, input={"model": model, **input}))["trainModel"]
    return answer


async def finished(api: Api, run: str, seconds: float = 10) -> dict[str, Any]:
    """The run when it is over."""
    return (await states(api, run, seconds))[-1]


async def states(api: Api, run: str, seconds: float = 10) -> list[dict[str, Any]]:
    """All that a subscription tells, to its end."""
    told = []
    async with api.socket() as socket:
        await socket.send(type="subscribe", id="1", payload={"query": FOLLOW, "variables": {"run": run}})
        while (message := await socket.receive(seconds))["type"] == "next":
            told.append(message["payload"]["data"]["trainingProgress"])
    assert message["type"] == "complete", message
    return told
