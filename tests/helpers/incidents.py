"""An invented fleet in which a test breaks something; root-cause models, the shipped one and one trained briefly."""

from dataclasses import replace
from functools import cache

import numpy as np
import polars as pl

from ml.catalogue.models import ROOT_CAUSE, Trained
from ml.catalogue.root_causes import RootCause
from ml.catalogue.topology import Topology
from ml.root_cause import training
from ml.root_cause.analysis import analyze
from ml.root_cause.evaluation import build_request
from ml.root_cause.model import RootCauseModel
from ml.root_cause.report import Analysis, Request
from ml.root_cause.scenario import Scenario
from ml.simulation.faults import Fault
from ml.simulation.fleet import Fleet, demo_fleet
from ml.simulation.fleet_topology import build_topology
from tests.helpers.shipped import shipped

START_MS = 1_774_137_600_000  # in spring, when the sun comes behind satellites
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
STEP_MS = 5 * MINUTE_MS
BEGINS = 10.0  # hours into the window
FLEET = demo_fleet(seed=2, remotes=48)  # six networks of eight links
TOPOLOGY = build_topology(FLEET)


def fault(cause: RootCause, begins: float = BEGINS, hours: float = 3.0, strength: float = 0.8, **said: object) -> Fault:
    """A clear one, that begins so many hours into the window."""
    start = START_MS + int(begins * HOUR_MS)
    return Fault(cause, start, start + int(hours * HOUR_MS), strength, **said)  # type: ignore[arg-type]


def incident(*faults: Fault, seed: int = 0, step_ms: int = STEP_MS, hours: int = 24, fleet: Fleet = FLEET) -> Scenario:
    return Scenario(fleet, START_MS, START_MS + hours * HOUR_MS, step_ms, faults, seed)


def asked(*faults: Fault, seed: int = 0, step_ms: int = STEP_MS, hours: int = 24) -> Request:
    """What the fleet reports meanwhile."""
    return build_request(incident(*faults, seed=seed, step_ms=step_ms, hours=hours))


def unmeasured(request: Request, *columns: str) -> Request:
    nothing = (pl.lit(None, dtype=pl.Float64).alias(column) for column in columns)
    return replace(request, frame=request.frame.with_columns(nothing))


def analysis(request: Request, topology: Topology = TOPOLOGY) -> Analysis:
    return analyze(topology, request, root_cause())


def links_of(*networks: int) -> set[int]:
    return {link.number for link in FLEET.links if link.network in networks}


def scoped(*links: int) -> Topology:
    return TOPOLOGY.scoped(np.isin(TOPOLOGY.links, links))


@cache
def root_cause() -> RootCauseModel:
    return RootCauseModel.from_bytes(shipped(ROOT_CAUSE).artefact, "1.0.0")


@cache
def briefly_trained() -> Trained:
    """By a training that sees just enough incidents, measured beside the shipped model."""
    return training.train(incidents=24, young=10, held_out=2, held_out_young=2, healthy=1, champion=root_cause())
