"""What people see of each other: the name, and no more than that, unless they are admins."""

from typing import Any

import pytest

from resolvers.base.roles import Role
from tests.helpers.support import Api, Factory, id_of

ACKNOWLEDGE = "mutation ($id: ID!) { acknowledgeAnomaly(id: $id) { __typename } }"
WHO = """query ($id: ID!) { node(id: $id) { ... on Anomaly {
  acknowledgedBy { email fullName } history { by { email } } } } }"""
ALL = "query ($id: ID!) { node(id: $id) { ... on Anomaly { acknowledgedBy { role isActive } } } }"


@pytest.fixture
async def crew(api: Api, make: Factory) -> dict[str, Any]:
    """Ada has acknowledged an anomaly."""
    ada, anomaly = await make.user(Role.OPERATOR, email="ada@example.com"), await make.anomaly()
    herself = await api.of(ada)
    await herself.run(ACKNOWLEDGE, id=id_of(anomaly))
    others = {role: await api.as_(role) for role in Role}
    return {"Ada": herself, **others, "anomaly": id_of(anomaly)}


@pytest.mark.parametrize(
    ("who", "email"),
    [
        (Role.VIEWER, "a…@example.com"),
        (Role.OPERATOR, "a…@example.com"),
        (Role.ADMIN, "ada@example.com"),
        ("Ada", "ada@example.com"),
    ],
)
async def test_only_admins_and_oneself_see_an_address(crew: dict[str, Any], who: str, email: str) -> None:
    node = (await crew[who].run(WHO, id=crew["anomaly"]))["node"]

    assert node["acknowledgedBy"] == {"email": email, "fullName": None}
    assert {entry["by"]["email"] for entry in node["history"] if entry["by"]} == {email}


@pytest.mark.parametrize("who", [Role.VIEWER, Role.OPERATOR])
async def test_what_colleagues_may_do_is_an_error_in_the_schemas_words(crew: dict[str, Any], who: Role) -> None:
    response = await crew[who].execute(ALL, id=crew["anomaly"])

    assert response["data"] == {"node": {"acknowledgedBy": None}}
    assert {error["extensions"]["code"] for error in response["errors"]} == {"FORBIDDEN"}


@pytest.mark.parametrize("who", [Role.ADMIN, "Ada"])
async def test_admins_and_oneself_see_all(crew: dict[str, Any], who: str) -> None:
    node = (await crew[who].run(ALL, id=crew["anomaly"]))["node"]

    assert node == {"acknowledgedBy": {"role": "OPERATOR", "isActive": True}}


async def test_a_subscriber_sees_no_address_of_others(api: Api, make: Factory) -> None:
    """An event is executed once for all of a role: nobody's own address is in it."""
    ada, anomaly = await make.user(Role.OPERATOR, email="ada@example.com"), await make.anomaly()
    herself = await api.of(ada)
    watch = "subscription { anomalyDetected(changes: [ACKNOWLEDGED]) { anomaly { acknowledgedBy { email } } } }"
    seen = {}
    viewer, admin = await api.as_(Role.VIEWER), await api.as_(Role.ADMIN)

    async with viewer.socket() as theirs, admin.socket() as admins:
        for socket in (theirs, admins):
            await socket.send(type="subscribe", id="1", payload={"query": watch})
            await socket.send(type="ping")
            assert (await socket.receive())["type"] == "pong"
        await herself.run(ACKNOWLEDGE, id=id_of(anomaly))
        for role, socket in ((Role.VIEWER, theirs), (Role.ADMIN, admins)):
            message = await socket.receive()
            seen[role] = message["payload"]["data"]["anomalyDetected"]["anomaly"]["acknowledgedBy"]["email"]

    assert seen == {Role.VIEWER: "a…@example.com", Role.ADMIN: "ada@example.com"}
