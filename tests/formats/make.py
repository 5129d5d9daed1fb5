#!/usr/bin/env python3
"""Makes the stores of this directory with a gateway of an earlier version, and notes what its devices saw.

    python3 tests/formats/make.py PATH_OF_THE_OLD_BINARY PATH_OF_MONGOD

It needs pymongo (tests/writers/requirements.txt). `tests/it/formats/` converts the stores and compares.
"""

import gzip
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import bson
import pymongo

HERE = pathlib.Path(__file__).parent
SECRET = "a secret that stands nowhere but in the environment"
CONFIG = """listen = "127.0.0.1:0"
model = "model.graphql"

[store]
url = "{url}"

[auth]
algorithms = ["HS256"]
leeway = "0s"
"""
FIELDS = """... on Member { desk crew person access }
  ... on Order { crew orderTitle: title remark minutes site { street city point { north east } } stops { street city point { north east } } sheet }
  ... on Note { owner text noteSite: site { city } }"""
DOCUMENT = "{ __typename id syncVersion " + FIELDS + " }"
PAGE = "changes { type documentId kind version scope document " + DOCUMENT + " } checkpoint hasMore reset revokedScopes epoch"
RESULTS = (
    "lastMutationId results { type documentId mutationId status duplicate version document " + DOCUMENT + " error { code message field } }"
)
STATE = "... on SyncOrderState { crew title remark minutes site { street city point { north east } } sheet }"
PULL = "query($checkpoint: Checkpoint) { changesSince(checkpoint: $checkpoint, limit: 100) { " + PAGE + " } }"
PUSH = "mutation($push: PushChangesInput!) { pushChanges(input: $push) { " + RESULTS + " } }"
RESOLVE = "mutation($it: ResolveConflictInput!) { resolveConflict(input: $it) { result { status version } } }"
VIEWER = "{ viewer { epoch memberships { nodes { scope giver } } } }"
CONFLICTS = (
    "{ conflicts { nodes { id type documentId openedAt currentVersion fields "
    "base { " + STATE + " } mine { " + STATE + " } theirs { " + STATE + " } } } }"
)


class Gateway:
    """A gateway of the earlier version in a directory of its own."""

    def __init__(self, binary, directory, url):
        self.binary, self.directory = binary, directory
        shutil.copy(HERE / "model.graphql", directory)
        (directory / "tidegate.toml").write_text(CONFIG.format(url=url))
        self.environment = {"TIDEGATE_AUTH__SECRET": SECRET, "TIDEGATE_LOG": "warn"}
        command = [binary, "serve", "--config", "tidegate.toml"]
        self.process = subprocess.Popen(command, cwd=directory, env=self.environment, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        self.url = next(word for word in line.split() if word.startswith("http://"))

    def client(self, user, claims):
        command = [self.binary, "token", "--config", "tidegate.toml", "--sub", user, "--claims", json.dumps(claims)]
        token = subprocess.check_output(command, cwd=self.directory, env=self.environment, text=True).strip()
        return Client(self.url, token)

    def stop(self):
        self.process.terminate()
        assert self.process.wait() == 0


class Client:
    def __init__(self, url, token):
        self.url, self.token = url, token

    def send(self, query, variables=None):
        body = json.dumps({"query": query, "variables": variables or {}}).encode()
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"}
        request = urllib.request.Request(self.url + "/graphql", body, headers)
        with urllib.request.urlopen(request) as answer:
            answer = json.load(answer)
        assert "errors" not in answer, answer
        return answer["data"]

    def pull(self, checkpoint=None):
        page = self.send(PULL, {"checkpoint": checkpoint})["changesSince"]
        assert not page["hasMore"]
        return page

    def push(self, pushes, user, first, changes):
        """Pushes with mutation ids, and notes the push with its answer, so that it can be repeated."""
        push = {"client": {"id": user + "-phone", "firstMutationId": first}, "changes": changes}
        push["epoch"] = self.send("{ viewer { epoch } }")["viewer"]["epoch"]
        answer = self.send(PUSH, {"push": push})["pushChanges"]
        pushes.append({"user": user, "push": push, "answer": answer})
        return [result["status"] for result in answer["results"]]


def order(id, crew, title, **fields):
    return {"order": {"create": {"id": id, "document": {"crew": crew, "title": title, **fields}}}}


def history(gateway, collections):
    """What happens in the store. Returns what its devices saw."""
    users = {"dana": {"desk": "main"}, "alice": {"desk": "none"}, "bob": {"desk": "none"}}
    clients = {user: gateway.client(user, claims) for user, claims in users.items()}
    dana, alice, bob = clients.values()
    pushes = []
    member = lambda id, crew, person, access: {
        "member": {"create": {"id": id, "document": {"desk": "main", "crew": crew, "person": person, "access": access}}}
    }
    members = [("m1", "north", "alice", "WRITE"), ("m2", "north", "bob", "WRITE"), ("m3", "south", "bob", "READ")]
    assert dana.push(pushes, "dana", 1, [member(*row) for row in members]) == ["APPLIED"] * 3
    site = {"street": "Quay 1", "city": "Bergen", "point": {"north": 60.39, "east": 5.32}}
    pump = order(
        "pump", "north", "Replace the pump", remark="a key is needed", minutes=30, site=site,
        stops=[site, {"city": "Voss"}], sheet={"$ref": 1, "a.b": [{"street": "kept"}], "title": "kept"},
    )
    created = [pump, order("roof", "north", "Inspect the roof"), order("gone", "north", "Soon deleted", remark="x")]
    assert alice.push(pushes, "alice", 1, created) == ["APPLIED"] * 3
    note = {"note": {"create": {"id": "n1", "document": {"owner": "alice", "text": "tea", "site": {"city": "Oslo"}}}}}
    assert alice.push(pushes, "alice", 4, [note]) == ["APPLIED"]
    middle = {user: client.pull()["checkpoint"] for user, client in clients.items()}

    edit = lambda id, base, **set: {"order": {"update": {"id": id, "baseVersion": base, "set": set}}}
    move_and_delete = [edit("roof", 1, crew="south"), {"order": {"delete": {"id": "gone", "baseVersion": 1}}}]
    assert dana.push(pushes, "dana", 4, [{"member": {"create": {"id": "m4", "document": {
        "desk": "main", "crew": "south", "person": "alice", "access": "WRITE"}}}}]) == ["APPLIED"]
    assert alice.push(pushes, "alice", 5, move_and_delete) == ["APPLIED"] * 2
    assert alice.push(pushes, "alice", 7, [edit("pump", 1, title="Replace both pumps", minutes=45)]) == ["APPLIED"]
    # Three stale edits wait for a person, and one of them is settled. A fourth one is rejected.
    stale = [edit("pump", 1, title="Mend the pump", site={"street": "Quay 2"}), edit("pump", 1, remark="bring a ladder")]
    stale[0]["order"]["update"]["base"] = {"title": "Replace the pump", "site": site}
    assert bob.push(pushes, "bob", 1, stale) == ["CONFLICT", "CONFLICT"]
    open_conflicts = alice.send("{ conflicts { nodes { id fields } } }")["conflicts"]["nodes"]
    settled = next(conflict["id"] for conflict in open_conflicts if conflict["fields"] == ["remark"])
    resolution = {"conflictId": settled, "baseVersion": 2, "resolution": {"order": {"remark": "bring a ladder and a key"}}}
    answer = alice.send(RESOLVE, {"it": resolution})
    assert answer["resolveConflict"]["result"]["status"] == "APPLIED", answer
    late = [edit("pump", 2, title="Sell the pump"), {"order": {"update": {"id": "nowhere", "baseVersion": 1, "set": {"title": "x"}}}}]
    bob.push(pushes, "bob", 3, late)
    assert bob.push(pushes, "bob", 5, [{"order": {"delete": {"id": "pump", "baseVersion": 1}}}]) == ["CONFLICT"]
    bob.send('mutation { declineMemberships(input: {givers: ["alice"]}) { declinedGivers } }')
    if collections is not None:
        foreign_writes(collections, alice)
    return {
        "queries": {"pull": PULL, "push": PUSH, "resolve": RESOLVE, "viewer": VIEWER, "conflicts": CONFLICTS},
        "users": users,
        "pushes": pushes,
        "resolution": {"user": "alice", "input": resolution, "answer": answer},
        "middle": middle,
        "since_middle": {user: client.pull(middle[user]) for user, client in clients.items()},
        "fresh": {user: client.pull() for user, client in clients.items()},
        "conflicts": {user: client.send(CONFLICTS) for user, client in clients.items()},
        "viewers": {
            user: client.send(VIEWER) for user, client in clients.items()
        },
    }


def foreign_writes(collections, reader):
    """Another service writes documents that fit, and one that does not."""
    orders = collections["work_orders"]
    orders.insert_one({"_id": "foreign", "crew_id": "north", "remark": "From a service", "route": [{"line": "L", "own": 1}]})
    orders.insert_one({"_id": "odd", "crew_id": "north", "remark": 17, "route": []})
    orders.update_one({"_id": "pump"}, {"$set": {"min": 50, "location.own": "kept"}})
    for _ in range(600):
        seen = {change["documentId"]: change for change in reader.pull()["changes"]}
        minutes = seen["pump"]["document"]["minutes"]
        if "foreign" in seen and minutes == 50 and collections["tidegate.misfits"].count_documents({}) == 1:
            return time.sleep(3)  # The importer notes its position each second.
        time.sleep(0.1)
    raise AssertionError("the importer has not followed")


def embedded(binary):
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        gateway = Gateway(binary, directory, "embedded:data")
        seen = history(gateway, None)
        gateway.stop()
        data = directory / "data"
        target = HERE / "embedded-3"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        for file in data.iterdir():
            if file.suffix == ".redb":
                (target / "tidegate.redb.gz").write_bytes(gzip.compress(file.read_bytes(), 9, mtime=0))
            elif not file.name.endswith(".lock"):
                shutil.copy(file, target)
        write_devices(target / "devices.json", seen)


def mongodb(binary, mongod):
    with tempfile.TemporaryDirectory() as directory, socket.socket() as probe:
        directory = pathlib.Path(directory)
        (directory / "db").mkdir()
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        command = [mongod, "--replSet", "rs0", "--port", str(port), "--dbpath", str(directory / "db"), "--bind_ip", "127.0.0.1"]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            client = pymongo.MongoClient("127.0.0.1", port, directConnection=True)
            members = [{"_id": 0, "host": f"127.0.0.1:{port}"}]
            client.admin.command("replSetInitiate", {"_id": "rs0", "members": members})
            while not client.admin.command("hello")["isWritablePrimary"]:
                time.sleep(0.1)
            gateway = Gateway(binary, directory, f"mongodb://127.0.0.1:{port}/app?replicaSet=rs0")
            seen = history(gateway, client.app)
            gateway.stop()
            target = HERE / "mongodb-2"
            target.mkdir(exist_ok=True)
            with (target / "collections.bson").open("wb") as dump:
                for name in sorted(client.app.list_collection_names()):
                    for document in client.app[name].find().sort("_id"):
                        dump.write(bson.encode({"collection": name, "document": document}))
            write_devices(target / "devices.json", seen)
        finally:
            server.terminate()
            server.wait()


def write_devices(path, seen):
    """One line for each part that a reader looks for."""
    parts = [f"{json.dumps(key)}: {json.dumps(seen[key], sort_keys=True)}" for key in sorted(seen)]
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n")


if __name__ == "__main__":
    binary, mongod = map(os.path.abspath, sys.argv[1:])
    embedded(binary)
    mongodb(binary, mongod)
