"""A service beside the gateway, in Python with gql. It adds the label `reviewed` and five minutes to each task that is done:
it pulls a page, decides, pushes, and pulls again. A subscription only wakes it. service.mjs is the same in Node."""

import asyncio
import itertools
import json
import os
import random
import uuid
from pathlib import Path

import httpx
from gql import Client, gql
from gql.transport.exceptions import TransportError, TransportQueryError
from gql.transport.httpx import HTTPXAsyncTransport
from gql.transport.websockets import WebsocketsTransport

GATEWAY = os.environ.get("GATEWAY", "http://127.0.0.1:4000")
SOCKET = f"{GATEWAY.replace('http', 'ws', 1)}/graphql"
DIRECTORY = Path(os.environ.get("STATE", "state"))
STATE = DIRECTORY / "state.json"
# Answers `{"token": …}`. This one is that of `tidegate dev`; elsewhere it is your identity provider.
TOKEN_URL = os.environ.get("TOKEN_URL", f"{GATEWAY}/dev/token?sub=reviewer&teams=demo")
# How long an answer may take, and how long a stream is kept open.
PATIENCE_S = 60

# The same request may succeed later.
TRANSIENT = "SERVICE_UNAVAILABLE OVERLOADED RATE_LIMITED DEADLINE_EXCEEDED INTERNAL_SERVER_ERROR".split()
# The gateway's history is not the one of the state: what was not answered has no effect in it, or its answer is lost.
BEGIN_AGAIN = "EPOCH_CHANGED MUTATION_ID_GAP MUTATION_ID_REUSED BAD_CHECKPOINT".split()

PAGE = """query Page($checkpoint: Checkpoint) {
  changesSince(checkpoint: $checkpoint, types: [Task], limit: 100) {
    checkpoint hasMore epoch changes { kind version document { ... on Task { id done labels minutesSpent } } } } }"""
PUSH = """mutation Push($input: PushChangesInput!) {
  pushChanges(input: $input) { results { type documentId mutationId status error { code message } } } }"""
NEWS = "subscription News { changes(from: NOW, types: [Task]) { hasMore } }"


def reactions(change):
    """What the service does about a change, as changes of its own. What it writes comes back, and has the label."""
    task = change["document"]
    if change["kind"] != "UPSERT" or not task["done"] or "reviewed" in task["labels"]:
        return []
    base = {"labels": task["labels"], "minutesSpent": task["minutesSpent"]}
    fields = {"labels": [*task["labels"], "reviewed"], "minutesSpent": task["minutesSpent"] + 5}
    return [{"task": {"update": {"id": task["id"], "baseVersion": change["version"], "set": fields, "base": base}}}]


def write(path, mode, text):
    with path.open(mode) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def begin():
    return {"client": str(uuid.uuid4()), "next": 1, "checkpoint": None, "push": None}


class Service:
    def __init__(self):
        self.token, self.woken = None, asyncio.Event()
        DIRECTORY.mkdir(parents=True, exist_ok=True)
        self.save(json.loads(STATE.read_text()) if STATE.exists() else begin())

    def save(self, state):
        """Replaces the file whole, and returns once that outlasts a crash. A page's checkpoint and the push that it leads to
        are one write: the page is not read twice, and none of its reactions is lost."""
        write(STATE.with_suffix(".new"), "w", json.dumps(state))
        STATE.with_suffix(".new").replace(STATE)
        directory = os.open(DIRECTORY, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)
        self.state = state

    async def step(self):
        """Settles the push under way, or reads the next page. Returns whether there is more to do now."""
        state = self.state
        if state["push"]:
            results = (await self.request(PUSH, {"input": state["push"]}))["pushChanges"]["results"]
            failed = [json.dumps(it) + "\n" for it in results if it["status"] in ("CONFLICT", "REJECTED")]
            # They are final. Written before the state: after a crash in between, a line may be there twice.
            write(DIRECTORY / "problems.jsonl", "a", "".join(failed))
            self.save({**state, "next": state["next"] + len(results), "push": None})
            return True
        page = (await self.request(PAGE, {"checkpoint": state["checkpoint"]}))["changesSince"]
        changes = [made for change in page["changes"] for made in reactions(change)]
        push = {"client": {"id": state["client"], "firstMutationId": state["next"]}, "epoch": page["epoch"]}
        self.save({**state, "checkpoint": page["checkpoint"], "push": {**push, "changes": changes} if changes else None})
        return page["hasMore"] or bool(changes)

    async def request(self, query, variables):
        """Asks until there is an answer. A push is sent again exactly as it was."""
        for attempt in itertools.count():
            try:
                transport = HTTPXAsyncTransport(f"{GATEWAY}/graphql", headers=await self.headers(), timeout=PATIENCE_S)
                async with Client(transport=transport, execute_timeout=PATIENCE_S) as session:
                    return await session.execute(gql(query), variable_values=variables)
            except TransportQueryError as refusal:
                extensions = refusal.errors[0].get("extensions", {})
                if extensions.get("code") == "UNAUTHENTICATED":
                    self.token = None
                elif extensions.get("code") not in TRANSIENT:
                    raise
                pause = extensions.get("retryAfter", 0)
            except (TransportError, httpx.HTTPError, ValueError, OSError):
                pause = 0
            await asyncio.sleep(max(pause, 0.1 * 2 ** min(attempt, 6) * random.uniform(0.5, 1.5)))

    async def headers(self):
        if self.token is None:
            async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
                self.token = (await client.get(TOKEN_URL)).raise_for_status().json()["token"]
        return {"Authorization": f"Bearer {self.token}"}

    async def follow(self):
        """Opens one stream after the other. An event only wakes the service. A page of a subscription may be older than the
        last answer to a push, and the service would react to a document that it has changed already. A pull after the answer
        shows its own writes. A dead stream is given up after a minute. What was missed in between is pulled then."""
        while True:
            try:
                transport = WebsocketsTransport(url=SOCKET, init_payload=await self.headers())
                async with asyncio.timeout(PATIENCE_S), Client(transport=transport) as session:
                    async for _ in session.subscribe(gql(NEWS)):
                        self.woken.set()
            except (TransportError, httpx.HTTPError, ValueError, OSError):
                pass  # The pull replaces a refused token.
            self.woken.set()
            await asyncio.sleep(random.uniform(0.5, 1.5))

    async def run(self):
        following = asyncio.create_task(self.follow())
        while not following.done():
            self.woken.clear()
            try:
                while await self.step():
                    pass
                await self.woken.wait()
            except TransportQueryError as refusal:
                if refusal.errors[0].get("extensions", {}).get("code") not in BEGIN_AGAIN:
                    raise  # It is for a person: the service ends, and keeps its state.
                self.save(begin())
        await following


asyncio.run(Service().run())
