"""What people do about incidents, by the API."""

from typing import Any

from resolvers.store.tables.core import Table
from tests.helpers.support import Api, id_of

RESULT = """__typename ... on Incident { id title status severity owner { email }
  snoozedUntil endedAt reopenedCount affectedLinkCount mergedInto { title } anomalies { nodes { id status } }
  timeline { action note details by { email } } }
  ... on InvalidInput { message path } ... on NotFound { message missing: id } ... on Conflict { message instead: id }
  ... on Forbidden { message requiredRole }"""
SINGLE = f"""mutation Act($id: ID!, $note: String, $text: String = "", $owner: ID, $until: DateTime,
    $acknowledge: Boolean = false, $assign: Boolean = false, $comment: Boolean = false, $snooze: Boolean = false,
    $mitigate: Boolean = false, $resolve: Boolean = false, $reopen: Boolean = false) {{
  acknowledge: acknowledgeIncident(id: $id, note: $note) @include(if: $acknowledge) {{ ...Result }}
  assign: assignIncident(id: $id, owner: $owner, note: $note) @include(if: $assign) {{ ...Result }}
  comment: commentIncident(id: $id, note: $text) @include(if: $comment) {{ ...Result }}
  snooze: snoozeIncident(id: $id, until: $until, note: $note) @include(if: $snooze) {{ ...Result }}
  mitigate: mitigateIncident(id: $id, note: $note) @include(if: $mitigate) {{ ...Result }}
  resolve: resolveIncident(id: $id, note: $note) @include(if: $resolve) {{ ...Result }}
  reopen: reopenIncident(id: $id, note: $note) @include(if: $reopen) {{ ...Result }} }}
fragment Result on IncidentResult {{ {RESULT} }}"""
MERGE = f"""mutation Merge($into: ID!, $ids: [ID!]!, $note: String) {{
  mergeIncidents(into: $into, ids: $ids, note: $note) {{ {RESULT} }} }}"""
SPLIT = f"""mutation Split($id: ID!, $anomalies: [ID!]!, $note: String) {{
  splitIncident(id: $id, anomalies: $anomalies, note: $note) {{ {RESULT} }} }}"""


def key_of(given: Table | str) -> str:
    return given if isinstance(given, str) else id_of(given)


async def act(api: Api, name: str, incident: Table | str, **given: Any) -> dict[str, Any]:
    """What an act on one incident answers."""
    answer: dict[str, Any] = (await api.run(SINGLE, id=key_of(incident), **{name: True}, **given))[name]
    return answer


async def merge(api: Api, into: Table | str, *others: Table | str, note: str | None = None) -> dict[str, Any]:
    data = await api.run(MERGE, into=key_of(into), ids=[key_of(other) for other in others], note=note)
    answer: dict[str, Any] = data["mergeIncidents"]
    return answer


async def split(api: Api, incident: Table | str, *anomalies: Table | str, note: str | None = None) -> dict[str, Any]:
    data = await api.run(SPLIT, id=key_of(incident), anomalies=[key_of(each) for each in anomalies], note=note)
    answer: dict[str, Any] = data["splitIncident"]
    return answer
