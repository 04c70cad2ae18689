"""How sensitive detection is: seen by everybody, set by admins, and in every process at once."""

import asyncio
from typing import Any

import pytest

from ml.catalogue.metrics import TargetKind
from resolvers.base.access import SYSTEM
from resolvers.base.errors import InvalidInput
from resolvers.base.roles import Role
from resolvers.context import Context, Services
from resolvers.detection.sensitivity import set_sensitivity
from tests.helpers.support import Api, Factory, Server, several

SHOW = "query ($kind: TargetKind!) { sensitivity(kind: $kind) { kind value falseAlarmsPerDay setAt setBy { email } } }"
SET = """mutation ($kind: TargetKind!, $value: Float!) { setSensitivity(kind: $kind, value: $value) { __typename
  ... on Sensitivity { kind value falseAlarmsPerDay } ... on InvalidInput { message path }
  ... on Forbidden { requiredRole } } }"""


async def put(api: Api, value: float, kind: str = "LINK") -> dict[str, Any]:
    answer: dict[str, Any] = (await api.run(SET, kind=kind, value=value))["setSensitivity"]
    return answer


async def test_where_nobody_has_set_it_it_is_the_usual_one(api: Api, services: Services) -> None:
    viewer = await api.as_(Role.VIEWER)

    shown = (await viewer.run(SHOW, kind="SITE"))["sensitivity"]

    assert shown["falseAlarmsPerDay"] == pytest.approx(90**0.5 / 30)
    assert shown | {"falseAlarmsPerDay": 0} == {
        "kind": "SITE",
        "value": 0.5,
        "falseAlarmsPerDay": 0,
        "setAt": None,
        "setBy": None,
    }
    assert await services.sensitivity.get(TargetKind.SITE) == 0.5


async def test_what_was_set_last_holds_for_its_kind_alone(api: Api, make: Factory, services: Services) -> None:
    user = await make.user(Role.ADMIN)
    admin = await api.of(user)
    await services.sensitivity.get(TargetKind.LINK)
    await put(admin, 0.9)

    answer = await put(admin, 1.0)

    shown = (await admin.run(SHOW, kind="LINK"))["sensitivity"]
    assert answer == {"__typename": "Sensitivity", "kind": "LINK", "value": 1.0, "falseAlarmsPerDay": 3.0}
    assert (shown["value"], shown["setBy"]) == (1.0, {"email": user.email})
    assert shown["setAt"].endswith("Z")
    assert await services.sensitivity.get(TargetKind.LINK) == 1.0
    assert await services.sensitivity.get(TargetKind.NETWORK) == 0.5


@pytest.mark.parametrize("value", [-0.001, 1.001, 1e308])
async def test_outside_of_zero_to_one_it_is_refused(api: Api, services: Services, value: float) -> None:
    answer = await put(await api.as_(Role.ADMIN), value)

    assert answer == {
        "__typename": "InvalidInput",
        "message": f"The sensitivity is between 0 and 1, not {value:g}.",
        "path": ["value"],
    }
    assert await services.sensitivity.get(TargetKind.LINK) == 0.5


async def test_what_is_no_number_is_refused(services: Services) -> None:
    with pytest.raises(InvalidInput, match="between 0 and 1, not nan"):
        await set_sensitivity(Context(services, SYSTEM), TargetKind.LINK, float("nan"))


async def test_the_ends_of_the_range_are_in_it(api: Api) -> None:
    admin = await api.as_(Role.ADMIN)

    alarms = [(await put(admin, value))["falseAlarmsPerDay"] for value in (0, 1)]

    assert alarms == [pytest.approx(1 / 30), pytest.approx(3)]


async def test_only_admins_set_it(api: Api) -> None:
    answer = await put(await api.as_(Role.OPERATOR), 0.9)

    assert answer == {"__typename": "Forbidden", "requiredRole": "ADMIN"}


async def test_all_kinds_together_cost_one_statement(api: Api, statements: list[str]) -> None:
    viewer = await api.as_(Role.VIEWER)
    fields = [f"{kind.lower()}: sensitivity(kind: {kind}) {{ value }}" for kind in TargetKind]
    statements.clear()

    await viewer.run(f"{{ {' '.join(fields)} }}")

    assert len(statements) == 2  # who asks, and the sensitivities


async def test_scoring_remembers_it(services: Services, statements: list[str]) -> None:
    await services.sensitivity.get(TargetKind.LINK)
    statements.clear()

    await services.sensitivity.get(TargetKind.LINK)

    assert statements == []


@pytest.mark.parametrize("processes", [1, 2])
async def test_what_is_set_holds_at_once_in_every_process(server: Server, processes: int) -> None:
    async with several(server, processes) as (here, there):
        admin = await here.as_(Role.ADMIN)
        before = await there.services.sensitivity.get(TargetKind.LINK)

        await put(admin, 0.75)
        async with asyncio.timeout(10.0):
            while await there.services.sensitivity.get(TargetKind.LINK) != 0.75:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    assert before == 0.5
