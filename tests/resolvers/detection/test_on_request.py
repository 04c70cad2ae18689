"""Verdicts on measurements that somebody asks for."""

import asyncio
from typing import Any

import pytest

from ml.catalogue.metrics import CATALOGUE, TargetKind
from resolvers.base.access import SYSTEM
from resolvers.base.errors import to_camel_case
from resolvers.base.roles import Role
from resolvers.context import Context, Services
from resolvers.detection.on_request import detect as detect_on_request
from resolvers.store.tables.core import Link, Network, Site
from tests.helpers.support import LINK_CENTRE, LINK_SPREAD, Api, Factory, GraphQLFailed, ago, id_of, record_levels

KINDS = pytest.mark.parametrize("kind", list(TargetKind))
NETWORK, SITE, LINK = TargetKind
ORDINARY: dict[TargetKind, dict[str, float]] = {
    NETWORK: {"bandwidthMbps": 100, "packetLossPct": 0.2, "latencyMs": 620, "errorRate": 0.002, "connections": 20},
    SITE: {"responseTimeMs": 640, "errorRate": 0.003, "uptimePct": 100, "cpuPct": 35, "memoryPct": 50},
    LINK: {"throughputMbps": 10, "utilizationPct": 45, "errors": 1, "discards": 1, "uptimePct": 100},
}
EXTREME: dict[TargetKind, dict[str, float]] = {
    NETWORK: {"bandwidthMbps": 0, "packetLossPct": 99, "latencyMs": 900, "errorRate": 0.01, "connections": 0},
    SITE: {"responseTimeMs": 60_000, "errorRate": 0.1, "uptimePct": 99, "cpuPct": 90, "memoryPct": 60},
    LINK: {"throughputMbps": 0, "utilizationPct": 0, "errors": 500_000, "discards": 9, "uptimePct": 98},
}
LEADING = {NETWORK: "PACKET_LOSS_PCT", SITE: "RESPONSE_TIME_MS", LINK: "ERRORS"}
BASELINES = {
    NETWORK: ([100.0, 0.2, 620.0, 0.002, 20.0], [10.0, 0.1, 10.0, 0.001, 0.5]),
    SITE: ([640.0, 0.003, 100.0, 35.0, 50.0, 400.0, 1.0], [20.0, 0.002, 0.5, 5.0, 3.0, 50.0, 2.0]),
    LINK: (LINK_CENTRE, LINK_SPREAD),
}
DETECTION = """id kind isAnomaly anomalyScore confidence modelVersion createdAt requestedBy { email }
  contributions { metric observed expected deviation share }
  target { ... on Network { id } ... on Site { id } ... on Link { id } }
  anomaly { id status score severity direction startedAt }"""
LIST = f"""query ($kind: TargetKind, $isAnomaly: Boolean) {{
  detections(kind: $kind, isAnomaly: $isAnomaly) {{ totalCount nodes {{ {DETECTION} }} }} }}"""
COUNT = "{ anomalies { totalCount nodes { id } } }"


@pytest.fixture
async def operator(api: Api) -> Api:
    return await api.as_(Role.OPERATOR)


async def detect(api: Api, kind: TargetKind, measured: dict[str, Any], **given: Any) -> dict[str, Any]:
    name = f"detect{kind.capitalize()}Anomaly"
    document = f"""mutation ($input: Detect{kind.capitalize()}Input!) {{ {name}(input: $input) {{ __typename
      ... on Detection {{ {DETECTION} }} ... on InvalidInput {{ message path }} ... on NotFound {{ message }}
      ... on Forbidden {{ message requiredRole }} }} }}"""
    answer: dict[str, Any] = (await api.run(document, input={**measured, **given}))[name]
    return answer


async def known_target(make: Factory, kind: TargetKind) -> Network | Site | Link:
    """One with a history of its own."""
    target: Network | Site | Link
    target = await {NETWORK: make.network, SITE: make.site, LINK: make.link}[kind]()
    await make.baseline(target, *BASELINES[kind], direction="OB" if kind is LINK else "")
    return target


def of(kind: TargetKind, target: Network | Site | Link) -> dict[str, Any]:
    return {kind.lower(): id_of(target)} | ({"direction": "OB"} if kind is LINK else {})


# ---------------------------------------------------------------- verdicts


@KINDS
async def test_ordinary_measurements_are_no_anomaly(operator: Api, kind: TargetKind) -> None:
    verdict = await detect(operator, kind, ORDINARY[kind])

    assert verdict["isAnomaly"] is False
    assert -1 <= verdict["anomalyScore"] <= 0
    assert 0 <= verdict["confidence"] < 0.5
    assert (verdict["kind"], verdict["target"], verdict["anomaly"]) == (kind, None, None)


@KINDS
async def test_extreme_measurements_are_an_anomaly(operator: Api, kind: TargetKind) -> None:
    verdict = await detect(operator, kind, EXTREME[kind])

    assert verdict["isAnomaly"] is True
    assert 0 < verdict["anomalyScore"] <= 1
    assert 0.5 <= verdict["confidence"] <= 1
    assert verdict["modelVersion"] == "1.0.1"


@KINDS
async def test_a_verdict_says_what_each_measurement_had_to_do_with_it(operator: Api, kind: TargetKind) -> None:
    verdict = await detect(operator, kind, EXTREME[kind])

    parts = verdict["contributions"]
    shares = [part["share"] for part in parts]
    assert {part["metric"] for part in parts} == {spec.metric for spec in CATALOGUE[kind].core_specs}
    assert parts[0]["metric"] == LEADING[kind]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1, abs=1e-3)
    assert {to_camel_case(part["metric"].lower()): part["observed"] for part in parts} == EXTREME[kind]
    assert all((part["observed"] - part["expected"]) * part["deviation"] >= 0 for part in parts)


@KINDS
async def test_a_target_is_judged_by_its_own_history(operator: Api, make: Factory, kind: TargetKind) -> None:
    unusual, spread = [2 * value for value in BASELINES[kind][0]], BASELINES[kind][1]
    target = await {NETWORK: make.network, SITE: make.site, LINK: make.link}[kind]()
    await make.baseline(target, unusual, spread, direction="OB" if kind is LINK else "")

    own = await detect(operator, kind, ORDINARY[kind], **of(kind, target))

    expected = {part["metric"]: part["expected"] for part in own["contributions"]}
    assert own["isAnomaly"] is True
    assert own["target"] == {"id": id_of(target)}
    assert expected == pytest.approx(
        {s.metric: v for s, v in zip(CATALOGUE[kind].specs, unusual, strict=True) if s.core}
    )


async def test_without_a_target_the_fleet_decides(operator: Api, make: Factory) -> None:
    for _ in range(3):
        await make.baseline(await make.network(), [100, 0.2, 620, 0.002, 2000], [10, 0.1, 10, 0.001, 5])

    ordinary_elsewhere = await detect(operator, NETWORK, ORDINARY[NETWORK])
    ordinary_here = await detect(operator, NETWORK, {**ORDINARY[NETWORK], "connections": 2000})

    assert ordinary_elsewhere["isAnomaly"] is True
    assert ordinary_elsewhere["contributions"][0]["metric"] == "CONNECTIONS"
    assert ordinary_here["isAnomaly"] is False


async def test_a_target_without_history_is_judged_by_the_fleet(operator: Api, make: Factory) -> None:
    network = await make.network()

    stranger = await detect(operator, NETWORK, ORDINARY[NETWORK], network=id_of(network))
    fleet = await detect(operator, NETWORK, ORDINARY[NETWORK])

    assert stranger["anomalyScore"] == fleet["anomalyScore"]
    assert stranger["target"] == {"id": id_of(network)}


async def test_a_link_without_a_direction_is_judged_by_both(operator: Api, make: Factory) -> None:
    link = await make.link()
    for direction, throughput in (("OB", 10.0), ("IB", 30.0)):
        await make.baseline(link, [throughput, *LINK_CENTRE[1:]], LINK_SPREAD, direction=direction)

    between = await detect(operator, LINK, {**ORDINARY[LINK], "throughputMbps": 12}, link=id_of(link))
    far = await detect(operator, LINK, {**ORDINARY[LINK], "throughputMbps": 90_000}, link=id_of(link))

    assert (between["isAnomaly"], far["isAnomaly"]) == (False, True)
    assert far["anomaly"]["direction"] is None


async def test_a_higher_sensitivity_finds_more(operator: Api) -> None:
    slow = {**ORDINARY[NETWORK], "latencyMs": 810}

    verdicts = [await detect(operator, NETWORK, slow, sensitivity=value) for value in (0, 0.5, 1)]
    usual = await detect(operator, NETWORK, slow)

    scores = [verdict["anomalyScore"] for verdict in verdicts]
    assert [verdict["isAnomaly"] for verdict in verdicts] == [False, True, True]
    assert scores == sorted(scores)
    assert usual["anomalyScore"] == scores[1]


# ---------------------------------------------------------------- bad questions


async def test_a_sensitivity_beyond_its_ends_is_invalid(operator: Api) -> None:
    for value in (-0.01, 1.01, 1e300):
        answer = await detect(operator, NETWORK, ORDINARY[NETWORK], sensitivity=value)

        assert (answer["__typename"], answer["path"]) == ("InvalidInput", ["input", "sensitivity"])


@KINDS
async def test_an_impossible_measurement_is_invalid(operator: Api, kind: TargetKind) -> None:
    for spec in CATALOGUE[kind].core_specs:
        for value in (spec.low - 1, spec.high * 1.1):
            answer = await detect(operator, kind, {**ORDINARY[kind], to_camel_case(spec.column): value})

            assert answer["__typename"] == "InvalidInput"
            assert answer["path"] == ["input", to_camel_case(spec.column)]
            assert answer["message"].startswith(f"{spec.metric} must be between")
    assert (await operator.run(LIST))["detections"]["totalCount"] == 0


@KINDS
async def test_an_unknown_target_is_not_found(operator: Api, make: Factory, kind: TargetKind) -> None:
    user = await make.user()
    gone = {"NETWORK": "TmV0d29yazo5OTk5", "SITE": "U2l0ZTo5OTk5", "LINK": "TGluazo5OTk5"}[kind]  # Link:9999

    for id in (gone, id_of(user), "nonsense", "", "TGluazo5OTk5OTk5OTk5OTk5"):
        answer = await detect(operator, kind, ORDINARY[kind], **{kind.lower(): id})

        assert answer == {"__typename": "NotFound", "message": f"There is no such {kind.lower()}."}


async def test_a_viewer_may_not_detect_and_nobody_must_sign_in(api: Api) -> None:
    answer = await detect(await api.as_(Role.VIEWER), SITE, ORDINARY[SITE])
    with pytest.raises(GraphQLFailed) as failure:
        await detect(api, SITE, ORDINARY[SITE])

    assert (answer["__typename"], answer["requiredRole"]) == ("Forbidden", "OPERATOR")
    assert failure.value.codes == ["UNAUTHENTICATED"]


# ---------------------------------------------------------------- anomalies


@KINDS
async def test_a_positive_detection_of_a_target_opens_an_anomaly(
    operator: Api, make: Factory, kind: TargetKind
) -> None:
    target = await known_target(make, kind)

    async with operator.socket() as socket:
        await socket.subscribe("subscription { anomalyDetected { change anomaly { id kind } } }")
        verdict = await detect(operator, kind, EXTREME[kind], **of(kind, target))
        event = (await socket.next())["anomalyDetected"]

    assert event == {"change": "OPENED", "anomaly": {"id": verdict["anomaly"]["id"], "kind": kind}}
    assert verdict["anomaly"]["status"] == "OPEN"
    assert verdict["anomaly"]["score"] == verdict["anomalyScore"]
    assert verdict["anomaly"]["direction"] == ("OB" if kind is LINK else None)


async def test_the_next_positive_detection_belongs_to_the_same_anomaly(operator: Api, make: Factory) -> None:
    site = await known_target(make, SITE)
    first = await detect(operator, SITE, EXTREME[SITE], site=id_of(site))

    second = await detect(operator, SITE, EXTREME[SITE], site=id_of(site))

    assert first["anomaly"]["id"] == second["anomaly"]["id"]
    assert (await operator.run(COUNT))["anomalies"]["totalCount"] == 1


async def test_concurrent_detections_open_one_anomaly(operator: Api, make: Factory) -> None:
    link = await make.link()
    await make.baseline(link, LINK_CENTRE, LINK_SPREAD, direction="OB")

    verdicts = await asyncio.gather(
        *(detect(operator, LINK, EXTREME[LINK], link=id_of(link), direction="OB") for _ in range(8)),
        *(record_levels(operator, link, {ago(minutes=minute): -65.0}) for minute in range(8)),
    )

    assert len({verdict["anomaly"]["id"] for verdict in verdicts[:8]}) == 1
    assert (await operator.run(COUNT))["anomalies"]["totalCount"] == 1


async def test_without_a_target_no_anomaly_is_opened(operator: Api) -> None:
    verdict = await detect(operator, SITE, EXTREME[SITE])

    assert (verdict["isAnomaly"], verdict["anomaly"]) == (True, None)
    assert (await operator.run(COUNT))["anomalies"]["totalCount"] == 0


async def test_an_ordinary_detection_opens_none(operator: Api, make: Factory) -> None:
    site = await known_target(make, SITE)

    verdict = await detect(operator, SITE, ORDINARY[SITE], site=id_of(site))

    assert (verdict["isAnomaly"], verdict["anomaly"]) == (False, None)
    assert (await operator.run(COUNT))["anomalies"]["totalCount"] == 0


async def test_an_anomaly_that_a_detection_opened_ends_with_the_recorded_fault(operator: Api, make: Factory) -> None:
    link = await make.link()
    await make.baseline(link, LINK_CENTRE, LINK_SPREAD, direction="OB")
    opened = (await detect(operator, LINK, EXTREME[LINK], link=id_of(link), direction="OB"))["anomaly"]

    answer = await record_levels(operator, link, {ago(minutes=minute): -45.0 for minute in range(5, 0, -1)})

    document = "query ($id: ID!) { node(id: $id) { ... on Anomaly { status startedAt lastSeenAt endedAt } } }"
    anomaly = (await operator.run(document, id=opened["id"]))["node"]
    assert [found["id"] for found in answer["anomalies"]] == [opened["id"]]
    assert anomaly["status"] == "RESOLVED"
    assert anomaly["startedAt"] == anomaly["lastSeenAt"] == anomaly["endedAt"]


# ---------------------------------------------------------------- the record


async def test_detections_are_kept_newest_first_with_whoever_asked(api: Api, make: Factory) -> None:
    user = await make.user(Role.OPERATOR)
    operator, site = await api.of(user), await known_target(make, SITE)
    asked = [
        await detect(operator, NETWORK, ORDINARY[NETWORK]),
        await detect(operator, SITE, EXTREME[SITE], site=id_of(site)),
        await detect(operator, NETWORK, EXTREME[NETWORK]),
        await detect(operator, LINK, ORDINARY[LINK]),
    ]

    admin = await api.as_(Role.ADMIN)
    lists = {
        (kind, is_anomaly): (await admin.run(LIST, kind=kind, isAnomaly=is_anomaly))["detections"]
        for kind in (None, NETWORK)
        for is_anomaly in (None, True, False)
    }

    kept = [{name: value for name, value in verdict.items() if name != "__typename"} for verdict in asked]
    assert lists[None, None] == {"totalCount": 4, "nodes": kept[::-1]}
    assert lists[None, True] == {"totalCount": 2, "nodes": [kept[2], kept[1]]}
    assert lists[None, False] == {"totalCount": 2, "nodes": [kept[3], kept[0]]}
    assert lists[NETWORK, None] == {"totalCount": 2, "nodes": [kept[2], kept[0]]}
    assert lists[NETWORK, True] == {"totalCount": 1, "nodes": [kept[2]]}
    assert {node["requestedBy"]["email"] for node in kept} == {user.email}
    assert kept[1]["target"] == {"id": id_of(site)}


async def test_the_server_itself_may_ask_and_no_user_is_named(services: Services) -> None:
    measured = dict.fromkeys(("throughput_mbps", "utilization_pct"), 1.0)

    detection = await detect_on_request(Context(services, SYSTEM), TargetKind.LINK, measured, None, None, None)

    assert detection.requested_by_id is None
