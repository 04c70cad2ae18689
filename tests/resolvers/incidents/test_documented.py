"""The documents about incidents in `docs/using-the-api.md` do what the text says."""

import re

from resolvers.base.roles import Role
from resolvers.store.tables.incidents import IncidentStatus
from tests.helpers.places import ROOT
from tests.helpers.support import Api, Factory, id_of

PAGE = (ROOT / "docs" / "using-the-api.md").read_text()
DOCUMENTS = dict(re.findall(r"^```graphql\n((?:query|mutation) (\w+).*?)^```", PAGE, re.MULTILINE | re.DOTALL))
BY_NAME = {name: document for document, name in DOCUMENTS.items()}


async def test_the_worklist_shows_what_is_to_be_done(api: Api, make: Factory) -> None:
    await make.incident(title="To be done")
    await make.incident(status=IncidentStatus.RESOLVED)

    data = await (await api.as_(Role.VIEWER)).run(BY_NAME["Worklist"])

    assert [node["title"] for node in data["incidents"]["nodes"]] == ["To be done"]
    assert data["incidentCounts"]["total"] == 1


async def test_acknowledging_leaves_an_entry_and_a_second_time_says_why_not(api: Api, make: Factory) -> None:
    operator, incident = await api.as_(Role.OPERATOR), await make.incident()

    first, second = [
        (await operator.run(BY_NAME["Acknowledge"], id=id_of(incident)))["acknowledgeIncident"] for _ in range(2)
    ]

    assert [(entry["action"], entry["note"]) for entry in first["timeline"]] == [
        ("ACKNOWLEDGED", "Calling the teleport")
    ]
    assert second == {"__typename": "Conflict", "message": "This incident is already acknowledged by you.", "id": None}


async def test_a_storm_is_resolved_with_a_result_for_each(api: Api, make: Factory) -> None:
    operator = await api.as_(Role.OPERATOR)
    ids = [id_of(await make.incident(title="Rain")), id_of(await make.incident(status=IncidentStatus.RESOLVED)), "?"]

    data = await operator.run(BY_NAME["ResolveStorm"], ids=ids)

    results = data["resolveIncidents"]["results"]
    assert [result["__typename"] for result in results] == ["Incident", "Conflict", "NotFound"]


def test_every_document_of_the_page_is_executed_here() -> None:
    assert set(BY_NAME) == {"Worklist", "Acknowledge", "ResolveStorm"}
