"""Mutations that detect anomalies and handle them."""

from typing import Annotated
from uuid import UUID

import strawberry
from strawberry import ID

from ml.catalogue.metrics import TargetKind
from resolvers.detection import anomalies
from resolvers.detection import on_request as detection
from schema.anomalies.inputs import DetectLinkInput, DetectNetworkInput, DetectSiteInput, measurements
from schema.anomalies.types import Anomaly, Detection
from schema.directives import Comment, Note
from schema.enums import Role, Verdict
from schema.fleet.types import Link, Network, Site
from schema.problems import Conflict, Forbidden, InvalidInput, NotFound
from schema.relay import Info
from schema.root_fields import mutation

DetectResult = Annotated[Detection | InvalidInput | NotFound | Forbidden, strawberry.union("DetectResult")]
CommentAnomalyResult = Annotated[
    Anomaly | InvalidInput | NotFound | Forbidden, strawberry.union("CommentAnomalyResult")
]
AnomalyResult = Annotated[Anomaly | NotFound | Forbidden | Conflict, strawberry.union("AnomalyResult")]


@strawberry.type
class AnomalyMutations:
    @mutation(
        Role.OPERATOR,
        rate_limited=True,
        description="Tells whether one set of measurements of a network is anomalous. If so, and the network is given,"
        " it opens an anomaly, unless one is open already.",
    )
    async def detect_network_anomaly(self, info: Info, input: DetectNetworkInput) -> DetectResult:
        target = None if input.network is None else Network.parse_key(input.network)
        values = measurements(TargetKind.NETWORK, input)
        row = await detection.detect(info.context, TargetKind.NETWORK, values, target, None, input.sensitivity)
        return Detection.from_row(row)

    @mutation(
        Role.OPERATOR,
        rate_limited=True,
        description="Tells whether one set of measurements of a site is anomalous. If so, and the site is given, it"
        " opens an anomaly, unless one is open already.",
    )
    async def detect_site_anomaly(self, info: Info, input: DetectSiteInput) -> DetectResult:
        target = None if input.site is None else Site.parse_key(input.site)
        values = measurements(TargetKind.SITE, input)
        row = await detection.detect(info.context, TargetKind.SITE, values, target, None, input.sensitivity)
        return Detection.from_row(row)

    @mutation(
        Role.OPERATOR,
        rate_limited=True,
        description="Tells whether one set of measurements of a link is anomalous. If so, and the link is given, it"
        " opens an anomaly, unless one is open already.",
    )
    async def detect_link_anomaly(self, info: Info, input: DetectLinkInput) -> DetectResult:
        target = None if input.link is None else Link.parse_key(input.link)
        values = measurements(TargetKind.LINK, input)
        row = await detection.detect(info.context, TargetKind.LINK, values, target, input.direction, input.sensitivity)
        return Detection.from_row(row)

    @mutation(Role.OPERATOR, description="Takes an open anomaly, so that your colleagues know that you work on it.")
    async def acknowledge_anomaly(self, info: Info, id: ID, note: Note = None) -> AnomalyResult:
        return Anomaly.from_row(await anomalies.acknowledge(info.context, Anomaly.parse_key(id, UUID), note))

    @mutation(
        Role.OPERATOR,
        description="Ends an anomaly by hand. A new one opens if the target still does not behave as usual.",
    )
    async def resolve_anomaly(self, info: Info, id: ID, note: Note = None) -> AnomalyResult:
        return Anomaly.from_row(await anomalies.resolve(info.context, Anomaly.parse_key(id, UUID), note))

    @mutation(
        Role.OPERATOR,
        description="Records whether an anomaly was a real fault. The next training learns from it. A later verdict"
        " replaces an earlier one.",
    )
    async def judge_anomaly(self, info: Info, id: ID, verdict: Verdict, note: Note = None) -> AnomalyResult:
        return Anomaly.from_row(await anomalies.judge(info.context, Anomaly.parse_key(id, UUID), verdict, note))

    @mutation(Role.OPERATOR, description="Adds a comment to an anomaly, whatever its status.")
    async def comment_anomaly(self, info: Info, id: ID, note: Comment) -> CommentAnomalyResult:
        return Anomaly.from_row(await anomalies.comment(info.context, Anomaly.parse_key(id, UUID), note))
