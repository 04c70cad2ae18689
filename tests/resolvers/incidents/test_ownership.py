"""Nobody stays the owner of an unresolved incident who cannot work on it any more."""

from typing import Any

import pytest

from resolvers.accounts.users import mask_email
from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.incidents.correlator import correlate
from resolvers.store.tables.core import User
from resolvers.store.tables.incidents import IncidentStatus
from tests.helpers.support import Api, Factory, id_of

UPDATE = "mutation ($input: UpdateUserInput!) { updateUser(input: $input) { __typename } }"
SHOW = """query ($id: ID!) { node(id: $id) { ... on Incident { status owner { email }
  timeline { action note details by { email } } } } }"""
WATCH = "subscription { incidentChanged { change incident { id owner { email } } } }"


@pytest.fixture
async def operator(make: Factory) -> User:
    return await make.user(Role.OPERATOR)


async def change_user(api: Api, user: User, **to: Any) -> None:
    assert await (await api.as_(Role.ADMIN)).run(UPDATE, input={"id": id_of(user), **to}) == {
        "updateUser": {"__typename": "User"}
    }


@pytest.mark.parametrize(
    ("to", "why"), [({"isActive": False}, "is deactivated"), ({"role": "VIEWER"}, "only reads now")]
)
@pytest.mark.parametrize(("status", "after"), [("ACKNOWLEDGED", "OPEN"), ("MITIGATED", "MITIGATED"), ("OPEN", "OPEN")])
async def test_an_incident_of_somebody_who_left_is_nobody_s_again(
    services: Services, api: Api, make: Factory, operator: User, to: dict[str, Any], why: str, status: str, after: str
) -> None:
    incident = await make.incident(status=IncidentStatus(status), owner_id=operator.id)
    await change_user(api, operator, **to)

    await correlate(services)
    await correlate(services)

    shown = (await (await api.as_(Role.VIEWER)).run(SHOW, id=id_of(incident)))["node"]
    assert (shown["status"], shown["owner"]) == (after, None)
    details = f"To nobody: {mask_email(operator.email)} {why}."
    assert shown["timeline"] == [{"action": "ASSIGNED", "note": None, "details": details, "by": None}]


async def test_subscribers_are_told_that_nobody_has_it(
    services: Services, api: Api, make: Factory, operator: User
) -> None:
    incident = await make.incident(status=IncidentStatus.ACKNOWLEDGED, owner_id=operator.id)
    async with (await api.as_(Role.VIEWER)).socket() as socket:
        await socket.subscribe(WATCH)
        await change_user(api, operator, isActive=False)

        await correlate(services)

        told = (await socket.next())["incidentChanged"]
    assert told == {"change": "ASSIGNED", "incident": {"id": id_of(incident), "owner": None}}


async def test_what_they_resolved_and_what_others_have_stays(
    services: Services, api: Api, make: Factory, operator: User
) -> None:
    other = await make.user(Role.OPERATOR)
    resolved = await make.incident(status=IncidentStatus.RESOLVED, owner_id=operator.id)
    theirs = await make.incident(status=IncidentStatus.ACKNOWLEDGED, owner_id=other.id)
    await change_user(api, operator, isActive=False)

    await correlate(services)

    viewer = await api.as_(Role.VIEWER)
    shown = [(await viewer.run(SHOW, id=id_of(row)))["node"] for row in (resolved, theirs)]
    assert [one["owner"]["email"] for one in shown] == [mask_email(user.email) for user in (operator, other)]
    assert [one["timeline"] for one in shown] == [[], []]
