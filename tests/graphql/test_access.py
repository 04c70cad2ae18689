"""Every root field of the schema, and the least role that it needs: a new field fails here until it is listed."""

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from graphql import GraphQLNamedType, GraphQLUnionType, get_named_type

from bcom_graphql import permissions
from resolvers.base.roles import Role
from schema.relay import global_id
from schema.root import schema
from tests.helpers.support import Api, Server, codes

GRAPHQL = schema._schema
PUBLIC = None
NOBODY = "00000000-0000-7000-8000-000000000000"
IDS = {name: global_id(name, 0) for name in ("User", "ApiKey", "Network", "Site", "Link", "ModelVersion")} | {
    name: global_id(name, NOBODY)
    for name in ("Anomaly", "Detection", "CorrelationAnalysis", "Incident", "Recommendation", "TrainingRun")
}
CREDENTIALS = '{ email: "ada@example.com", password: "correct horse battery" }'
COLUMNS = "at: [1700000000000]"
AT = 'at: "2026-01-01T00:00:00Z"'

QUERIES: dict[str, tuple[Role | None, str]] = {
    "viewer": (PUBLIC, ""),
    "users": (Role.ADMIN, ""),
    "apiKeys": (Role.VIEWER, ""),
    "node": (Role.VIEWER, f'(id: "{IDS["Site"]}")'),
    "nodes": (Role.VIEWER, f'(ids: ["{IDS["Site"]}"])'),
    "satellites": (Role.VIEWER, ""),
    "satellite": (Role.VIEWER, '(name: "Astra")'),
    "sites": (Role.VIEWER, ""),
    "site": (Role.VIEWER, "(number: 1)"),
    "networks": (Role.VIEWER, ""),
    "network": (Role.VIEWER, "(number: 1)"),
    "links": (Role.VIEWER, ""),
    "link": (Role.VIEWER, "(number: 1)"),
    "detections": (Role.VIEWER, ""),
    "anomalies": (Role.VIEWER, ""),
    "incidents": (Role.VIEWER, ""),
    "incidentCounts": (Role.VIEWER, ""),
    "correlationAnalyses": (Role.VIEWER, ""),
    "recommendations": (Role.VIEWER, ""),
    "models": (Role.VIEWER, ""),
    "model": (Role.VIEWER, '(name: "anomaly_link")'),
    "exportModel": (Role.ADMIN, f'(version: "{IDS["ModelVersion"]}")'),
    "sensitivity": (Role.VIEWER, "(kind: LINK)"),
    "trainingRuns": (Role.VIEWER, ""),
    "importMappings": (Role.VIEWER, ""),
    "demoScorecard": (Role.ADMIN, ""),
}
MUTATIONS: dict[str, tuple[Role | None, str]] = {
    "register": (PUBLIC, f"(input: {CREDENTIALS})"),
    "login": (PUBLIC, f"(input: {CREDENTIALS})"),
    "refreshSession": (PUBLIC, '(refreshToken: "garbage")'),
    "logout": (PUBLIC, '(refreshToken: "garbage")'),
    "changePassword": (Role.VIEWER, '(current: "garbage", new: "correct horse battery")'),
    "updateUser": (Role.ADMIN, f'(input: {{ id: "{IDS["User"]}" }})'),
    "createUser": (Role.ADMIN, '(input: { email: "bob@example.com" })'),
    "resetPassword": (Role.ADMIN, f'(user: "{IDS["User"]}")'),
    "createApiKey": (Role.VIEWER, '(name: "Collector", role: VIEWER)'),
    "revokeApiKey": (Role.VIEWER, f'(id: "{IDS["ApiKey"]}")'),
    "upsertTopology": (Role.ADMIN, "(input: {})"),
    "recordNetworkMetrics": (Role.OPERATOR, f"(samples: [{{ network: 1, {AT}, latencyMs: 600 }}])"),
    "recordSiteMetrics": (Role.OPERATOR, f"(samples: [{{ site: 1, {AT}, cpuPct: 50 }}])"),
    "recordLinkMetrics": (Role.OPERATOR, f"(samples: [{{ link: 1, direction: OB, {AT}, esnoDb: 9 }}])"),
    "recordNetworkColumns": (Role.OPERATOR, f"(columns: {{ network: [1], {COLUMNS}, latencyMs: [600] }})"),
    "recordSiteColumns": (Role.OPERATOR, f"(columns: {{ site: [1], {COLUMNS}, cpuPct: [50] }})"),
    "recordLinkColumns": (Role.OPERATOR, f'(columns: {{ link: [1], direction: ["OB"], {COLUMNS}, esnoDb: [9] }})'),
    "importMetrics": (Role.OPERATOR, "(kind: LINK, file: $file)"),
    "saveImportMapping": (Role.OPERATOR, '(input: { kind: LINK, name: "Hub", columns: [] })'),
    "deleteImportMapping": (Role.OPERATOR, '(kind: LINK, name: "Hub")'),
    "detectNetworkAnomaly": (
        Role.OPERATOR,
        "(input: { bandwidthMbps: 1, packetLossPct: 0, latencyMs: 600, errorRate: 0, connections: 1 })",
    ),
    "detectSiteAnomaly": (
        Role.OPERATOR,
        "(input: { responseTimeMs: 100, errorRate: 0, uptimePct: 100, cpuPct: 50, memoryPct: 50 })",
    ),
    "detectLinkAnomaly": (
        Role.OPERATOR,
        "(input: { throughputMbps: 1, utilizationPct: 50, errors: 0, discards: 0, uptimePct: 100 })",
    ),
    "acknowledgeAnomaly": (Role.OPERATOR, f'(id: "{IDS["Anomaly"]}")'),
    "resolveAnomaly": (Role.OPERATOR, f'(id: "{IDS["Anomaly"]}")'),
    "judgeAnomaly": (Role.OPERATOR, f'(id: "{IDS["Anomaly"]}", verdict: TRUE_ALARM)'),
    "commentAnomaly": (Role.OPERATOR, f'(id: "{IDS["Anomaly"]}", note: "Umbrella")'),
    "acknowledgeIncident": (Role.OPERATOR, f'(id: "{IDS["Incident"]}")'),
    "assignIncident": (Role.OPERATOR, f'(id: "{IDS["Incident"]}")'),
    "commentIncident": (Role.OPERATOR, f'(id: "{IDS["Incident"]}", note: "Umbrella")'),
    "snoozeIncident": (Role.OPERATOR, f'(id: "{IDS["Incident"]}")'),
    "mitigateIncident": (Role.OPERATOR, f'(id: "{IDS["Incident"]}")'),
    "resolveIncident": (Role.OPERATOR, f'(id: "{IDS["Incident"]}")'),
    "reopenIncident": (Role.OPERATOR, f'(id: "{IDS["Incident"]}")'),
    "mergeIncidents": (Role.OPERATOR, f'(into: "{IDS["Incident"]}", ids: ["garbage"])'),
    "splitIncident": (Role.OPERATOR, f'(id: "{IDS["Incident"]}", anomalies: ["{IDS["Anomaly"]}"])'),
    "acknowledgeIncidents": (Role.OPERATOR, f'(ids: ["{IDS["Incident"]}"])'),
    "assignIncidents": (Role.OPERATOR, f'(ids: ["{IDS["Incident"]}"])'),
    "commentIncidents": (Role.OPERATOR, f'(ids: ["{IDS["Incident"]}"], note: "Hello")'),
    "snoozeIncidents": (Role.OPERATOR, f'(ids: ["{IDS["Incident"]}"])'),
    "mitigateIncidents": (Role.OPERATOR, f'(ids: ["{IDS["Incident"]}"])'),
    "reopenIncidents": (Role.OPERATOR, f'(ids: ["{IDS["Incident"]}"])'),
    "resolveIncidents": (Role.OPERATOR, f'(ids: ["{IDS["Incident"]}"])'),
    "analyzeNetwork": (Role.OPERATOR, f'(network: "{IDS["Network"]}")'),
    "analyzeHubAntenna": (Role.OPERATOR, f'(site: "{IDS["Site"]}")'),
    "analyzeSatellite": (Role.OPERATOR, '(name: "Astra")'),
    "analyzeLinkBidirectional": (Role.OPERATOR, f'(link: "{IDS["Link"]}")'),
    "recommend": (Role.OPERATOR, f'(for: {{ anomaly: "{IDS["Anomaly"]}" }})'),
    "recordOutcome": (Role.OPERATOR, f'(recommendation: "{IDS["Recommendation"]}", outcome: SOLVED)'),
    "trainModel": (Role.ADMIN, '(input: { model: "no such model" })'),
    "promoteModel": (Role.ADMIN, f'(version: "{IDS["ModelVersion"]}")'),
    "rollbackModel": (Role.ADMIN, '(model: "no such model")'),
    "importModel": (Role.ADMIN, "(file: $file)"),
    "setSensitivity": (Role.ADMIN, "(kind: LINK, value: 0.5)"),
}
SUBSCRIPTIONS: dict[str, tuple[Role | None, str]] = {
    "anomalyDetected": (Role.VIEWER, ""),
    "incidentChanged": (Role.VIEWER, ""),
    "recommendationCreated": (Role.VIEWER, ""),
    "linkMetricsRecorded": (Role.VIEWER, f'(links: ["{IDS["Link"]}"])'),
    "trainingProgress": (Role.VIEWER, f'(run: "{IDS["TrainingRun"]}")'),
}
LISTED = {"query": QUERIES, "mutation": MUTATIONS, "subscription": SUBSCRIPTIONS}
ROOTS = {"query": GRAPHQL.query_type, "mutation": GRAPHQL.mutation_type, "subscription": GRAPHQL.subscription_type}
FIELDS = [(kind, name) for kind, root in ROOTS.items() if root for name in root.fields]


@dataclass(frozen=True)
class Access:
    """A root field, what to call it with, and whom it is for."""

    kind: str
    name: str
    role: Role | None
    arguments: str
    returns: GraphQLNamedType

    @classmethod
    def of(cls, kind: str, name: str) -> "Access":
        root = ROOTS[kind]
        assert root is not None
        return cls(kind, name, *LISTED[kind][name], get_named_type(root.fields[name].type))

    @property
    def document(self) -> str:
        head = f"{self.kind} ($file: Upload!)" if "$file" in self.arguments else self.kind
        composite = hasattr(self.returns, "fields") or isinstance(self.returns, GraphQLUnionType)
        forbidden = "... on Forbidden { requiredRole }" if self._tells_forbidden else ""
        return f"{head} {{ {self.name}{self.arguments} {f'{{ __typename {forbidden} }}' if composite else ''} }}"

    @property
    def _tells_forbidden(self) -> bool:
        union = self.returns
        return isinstance(union, GraphQLUnionType) and "Forbidden" in {member.name for member in union.types}

    @property
    def forbidden(self) -> Any:
        """What a caller whose role does not suffice gets."""
        return {"__typename": "Forbidden", "requiredRole": self.role} if self._tells_forbidden else ["FORBIDDEN"]

    async def answer(self, api: Api) -> Any:
        """The field's value, else its error codes."""
        if self.kind == "subscription":
            return await self._first_message(api)
        response = await self._upload(api) if "$file" in self.arguments else await api.execute(self.document)
        if "errors" in response:
            return [error["extensions"]["code"] for error in response["errors"]]
        return response["data"][self.name]

    async def _upload(self, api: Api) -> Any:
        form = {
            "operations": f'{{"query": "{self.document}", "variables": {{"file": null}}}}',
            "map": '{"0": ["variables.file"]}',
        }
        file = {"0": ("samples.csv", b"link,direction,at,esnoDb\n", "text/csv")}
        response = await api.http.post(api.url, data=form, files=file, headers=api.headers)
        return response.json()

    async def _first_message(self, api: Api) -> Any:
        """Nothing comes to those who may listen: nothing happens."""
        async with api.socket() as socket:
            await socket.send(type="subscribe", id="1", payload={"query": self.document})
            try:
                message = await socket.receive(0.3 if self.role and api.token else 10)
            except TimeoutError:
                return None
        errors = message["payload"] if message["type"] == "error" else message["payload"].get("errors", [])
        return [error["extensions"]["code"] for error in errors]


def refused(answer: Any) -> bool:
    if isinstance(answer, list) and {"UNAUTHENTICATED", "FORBIDDEN"} & {str(code) for code in answer}:
        return True
    return isinstance(answer, dict) and answer.get("__typename") == "Forbidden"


@pytest.mark.parametrize(("kind", "name"), FIELDS)
def test_every_root_field_declares_the_role_it_needs(kind: str, name: str) -> None:
    role, _ = LISTED[kind][name]

    assert permissions.declared(kind.capitalize(), name) == role


def listed(*, public: bool) -> list[Any]:
    known = [Access.of(kind, name) for kind, name in FIELDS if name in LISTED[kind]]
    return [pytest.param(access, id=access.name) for access in known if (access.role is PUBLIC) == public]


@pytest.mark.parametrize("access", listed(public=True))
async def test_anybody_may(api: Api, access: Access) -> None:
    answer = await access.answer(api)

    assert not refused(answer)


@pytest.mark.parametrize("access", listed(public=False))
async def test_only_who_has_the_role_may(api: Api, access: Access) -> None:
    needed = access.role
    assert needed is not None
    callers = {role: await api.as_(role) for role in Role}

    anonymous, *answers = await asyncio.gather(access.answer(api), *map(access.answer, callers.values()))

    assert anonymous == ["UNAUTHENTICATED"]
    for role, answer in zip(Role, answers, strict=True):
        if role.rank < needed.rank:
            assert answer == access.forbidden
        else:
            assert not refused(answer), answer


async def test_creating_a_key_needs_the_key_s_role(api: Api) -> None:
    document = 'mutation ($role: Role!) { createApiKey(name: "x", role: $role) { __typename } }'
    granted = {}
    for own in Role:
        caller = await api.as_(own)

        answers = [await caller.run(document, role=role) for role in Role]

        granted[own] = [answer["createApiKey"]["__typename"] for answer in answers].count("CreatedApiKey")

    assert granted == {Role.VIEWER: 1, Role.OPERATOR: 2, Role.ADMIN: 3}


async def test_who_may_not_see_a_part_gets_the_rest_with_an_error(api: Api) -> None:
    viewer = await api.as_(Role.VIEWER)

    response = await viewer.execute('{ viewer { role } apiKeys { id } node(id: "x") { id } }')
    refused_part = await codes(viewer, "{ viewer { role } users { totalCount } }")

    assert response["data"] == {"viewer": {"role": "VIEWER"}, "apiKeys": [], "node": None}
    assert refused_part == ["FORBIDDEN"]


# ---------------------------------------------------------------- variables


UPSERT = "mutation ($input: TopologyInput!) { upsertTopology(input: $input) { __typename } }"
RECORD = "mutation ($samples: [LinkSampleInput!]!) { recordLinkMetrics(samples: $samples) { __typename } }"
SITES = {"input": {"sites": [{"number": 1, "name": "A", "role": "HUB"}, {"nonsense": 1}]}}
ROWS = {"samples": [{"link": 1, "direction": "OB", "at": "2026-01-01T00:00:00Z", "esnoDb": 9}, {}]}
REFUSED = [(UPSERT, SITES, Role.OPERATOR), (RECORD, ROWS, Role.VIEWER)]


@pytest.mark.parametrize(("document", "variables", "role"), REFUSED)
async def test_who_may_not_is_told_before_anybody_looks_through_what_they_sent(
    api: Api, document: str, variables: dict[str, Any], role: Role
) -> None:
    nobody = await codes(api, document, **variables)
    [somebody] = (await (await api.as_(role)).run(document, **variables)).values()

    assert nobody == ["UNAUTHENTICATED"]
    assert somebody == {"__typename": "Forbidden"}


@pytest.mark.parametrize(("document", "variables"), [(UPSERT, SITES), (RECORD, ROWS)])
async def test_who_may_is_told_what_is_wrong_with_it(api: Api, document: str, variables: dict[str, Any]) -> None:
    admin = await api.as_(Role.ADMIN)

    assert "BAD_USER_INPUT" in await codes(admin, document, **variables)


async def test_what_others_of_the_root_fields_are_given_is_looked_through(api: Api) -> None:
    login = 'login(input: { email: $email, password: "not the password" }) { __typename }'
    document = f"mutation ($email: String!, $samples: [LinkSampleInput!]!) {{ {login} {RECORD.partition('{')[2]}"

    response = await api.execute(document, email="nobody@example.com", **ROWS)
    wrong = await codes(api, document, email=1, **ROWS)

    assert response["errors"][0]["path"] == ["recordLinkMetrics"]
    assert response["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert wrong == ["BAD_USER_INPUT"]


async def test_a_variable_of_a_fragment_goes_to_the_fields_that_spread_it(api: Api) -> None:
    document = """query ($ids: [ID!]!) { ...A } fragment A on Query { ...B }
        fragment B on Query { viewer { id } nodes(ids: $ids) { id } }"""

    refused = await codes(api, document, ids=["x", {}])
    allowed = await codes(await api.as_(Role.VIEWER), document, ids=["x", {}])

    assert refused == ["UNAUTHENTICATED"]
    assert allowed == ["BAD_USER_INPUT"]


async def test_a_list_beyond_the_limit_is_refused_by_name(server: Server) -> None:
    async with server(max_list=2) as api:
        admin = await api.as_(Role.ADMIN)
        site = {"number": 1, "name": "A", "role": "HUB"}

        [error] = (await admin.execute(UPSERT, input={"sites": [site] * 3}))["errors"]

    assert error["message"] == "`$input` has a list of 3 entries; at most 2 are allowed."
    assert error["extensions"]["code"] == "BAD_USER_INPUT"


async def test_many_values_are_coerced_as_few_are(api: Api) -> None:
    admin = await api.as_(Role.ADMIN)
    sites = [{"number": number, "name": f"Site {number}", "role": "REMOTE"} for number in range(2_000)]

    answer = await admin.run(UPSERT, input={"sites": sites})
    wrong = await codes(admin, UPSERT, input={"sites": [*sites, {}]})

    assert answer["upsertTopology"] == {"__typename": "Topology"}
    assert set(wrong) == {"BAD_USER_INPUT"}
