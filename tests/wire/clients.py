"""gql, the GraphQL client of Python, over WebSocket and HTTP as its documentation sets it up, against the endpoint named by
the first argument. The second is the secret that tokens are signed with. Prints one line of JSON: what each has done."""

import asyncio
import base64
import hashlib
import hmac
import json
import sys
import time

from gql import Client, gql
from gql.transport.exceptions import TransportConnectionFailed, TransportQueryError
from gql.transport.httpx import HTTPXAsyncTransport
from gql.transport.websockets import WebsocketsTransport

URL, SECRET = sys.argv[1:]
PATIENCE_S = 20
VIEWER = gql("query Viewer { viewer { id } }")
PUSH = gql("""mutation Push($id: ID!) {
  pushChanges(input: { changes: [{ task: { create: { id: $id, document: { title: "t", audience: "team:demo" } } } }] }) {
    results { status }
  }
}""")
CHANGES = gql("subscription Changes { changes { changes { documentId } } }")


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def authorization(lifetime_s):
    claims = {"sub": "alice", "teams": ["demo"], "exp": int(time.time()) + lifetime_s}
    signed = ".".join(encode(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    signature = hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).digest()
    return f"Bearer {signed}.{encode(signature)}"


def over_websocket(lifetime_s=600):
    return WebsocketsTransport(
        url=URL.replace("http", "ws"), init_payload={"Authorization": authorization(lifetime_s)}
    )


def over_http(lifetime_s=600):
    return HTTPXAsyncTransport(url=URL, headers={"Authorization": authorization(lifetime_s)})


async def push(session, document_id):
    answer = await session.execute(PUSH, variable_values={"id": document_id})
    assert answer["pushChanges"]["results"] == [{"status": "APPLIED"}], answer


async def asks(name, transport):
    async with Client(transport=transport()) as session:
        assert (await session.execute(VIEWER)) == {"viewer": {"id": "alice"}}
        await push(session, f"{name}-1")
    return ["query", "mutation"]


async def follows():
    async with Client(transport=over_websocket()) as session:
        assert session.transport.subprotocol == "graphql-transport-ws", session.transport.subprotocol
        seen = set()
        async for answer in session.subscribe(CHANGES):
            seen.update(change["documentId"] for change in answer["changes"]["changes"])
            if "gql-2" in seen:
                break
            if "gql-1" not in seen:
                await push(session, "gql-1")
            elif "gql-2" not in seen:
                await push(session, "gql-2")
    return ["subscription"]


async def is_refused(transport, error):
    try:
        async with Client(transport=transport(-60)) as session:
            await session.execute(VIEWER)
    except error:
        return ["refusal of a token that has ended"]
    raise AssertionError("a token that has ended is taken")


async def main():
    done = {
        "gqlOverWebSocket": [
            *await asks("gql-socket", over_websocket),
            *await follows(),
            *await is_refused(over_websocket, TransportConnectionFailed),
        ],
        "gqlOverHttp": [
            *await asks("gql-http", over_http),
            *await is_refused(over_http, TransportQueryError),
        ],
    }
    print(json.dumps(done))


asyncio.run(asyncio.wait_for(main(), PATIENCE_S))
