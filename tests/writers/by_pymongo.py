"""Writes tasks as a service does, by PyMongo. The argument is the URL of the database."""

import sys

from pymongo import DeleteOne, InsertOne, MongoClient, UpdateOne


def id_of(number):
    return f"pymongo-{number}"


def task(number):
    return {"_id": id_of(number), "audience": "team:demo", "title": f"Task {number}", "minutesSpent": number}


client = MongoClient(sys.argv[1])
tasks = client.get_default_database().tasks
tasks.insert_many([task(number) for number in range(1, 7)])
tasks.update_one({"_id": id_of(1)}, {"$set": {"title": "Changed"}, "$inc": {"minutesSpent": 10}})
tasks.update_many({"_id": id_of(2)}, [{"$set": {"title": {"$concat": ["$title", ", changed"]}}}])
tasks.replace_one({"_id": id_of(3)}, {"audience": "team:demo", "title": "Replaced"})
tasks.bulk_write(
    [
        UpdateOne({"_id": id_of(4)}, {"$set": {"title": "In bulk"}}),
        DeleteOne({"_id": id_of(5)}),
        InsertOne(task(7)),
    ]
)


def in_transaction(session):
    tasks.update_one({"_id": id_of(1)}, {"$push": {"labels": "urgent"}}, session=session)
    tasks.delete_one({"_id": id_of(6)}, session=session)


with client.start_session() as session:
    session.with_transaction(in_transaction)
client.close()
