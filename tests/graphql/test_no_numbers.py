"""NaN and Infinity in JSON are named, with their field, whichever way the request comes in."""

import json

import pytest
import websockets

from resolvers.base.roles import Role
from tests.helpers.support import Api

DOCUMENT = "mutation ($columns: LinkColumns!) { recordLinkColumns(columns: $columns) { __typename } }"
COLUMNS = {"link": [1, 1], "direction": ["OB", "OB"], "at": [1, 2], "esnoDb": [12.0, float("nan")]}
REQUEST = json.dumps({"query": DOCUMENT, "variables": {"columns": COLUMNS}})  # as Python's encoder writes it
SAID = "JSON has no NaN; send null. It is in `esnoDb`, entry 1, at character "


async def said(api: Api, **request: object) -> str:
    headers = {**api.headers, "apollo-require-preflight": "1", **request.pop("headers", {})}  # type: ignore[dict-item]
    method = str(request.pop("method", "POST"))
    response = await api.http.request(method, api.url, headers=headers, **request)  # type: ignore[arg-type]
    assert response.status_code == 400
    message: str = response.json()["errors"][0]["message"]
    return message


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
async def test_a_body_with_nan(api: Api, accept: str) -> None:
    headers = {"content-type": "application/json", "accept": accept}

    message = await said(await api.as_(Role.OPERATOR), content=REQUEST, headers=headers)

    assert message == f"The body is not JSON: {SAID}{REQUEST.index('NaN') + 1}."


async def test_variables_in_the_address_with_nan(api: Api) -> None:
    variables = json.dumps({"columns": COLUMNS})

    message = await said(api, method="GET", params={"query": "{ __typename }", "variables": variables})

    assert message == f"`variables` is not JSON: {SAID}{variables.index('NaN') + 1}."


async def test_operations_of_a_form_with_nan(api: Api) -> None:
    form = [("operations", (None, REQUEST)), ("map", (None, "{}"))]

    message = await said(await api.as_(Role.OPERATOR), files=form)

    assert message.startswith(f"`operations` is not JSON: {SAID}")


async def test_a_message_of_a_socket_with_nan(api: Api) -> None:
    operator = await api.as_(Role.OPERATOR)
    async with operator.socket() as socket:
        await socket.connection.send(f'{{"type": "subscribe", "id": "1", "payload": {REQUEST}}}')

        with pytest.raises(websockets.ConnectionClosed) as closed:
            await socket.receive()

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4400
    assert closed.value.rcvd.reason.startswith(f"The message is not JSON: {SAID}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"variables": {"x": -Infinity}}', "JSON has no -Infinity; send null. It is in `x` at character 21."),
        ('{"variables": {"x": [1, inf]}}', "JSON has no inf; send null. It is in `x`, entry 1, at character 25."),
        ("NaN", "JSON has no NaN; send null. It is at character 1."),
        ('{"query": "NaN', "unexpected end of data: line 1 column 15 (char 14)."),
        ('{"NaN": x}', "unexpected character, expected a JSON value: line 1 column 9 (char 8)."),
    ],
)
async def test_other_words_for_no_number_and_other_mistakes(api: Api, text: str, message: str) -> None:
    found = await said(api, content=text, headers={"content-type": "application/json"})

    assert found == f"The body is not JSON: {message}"
