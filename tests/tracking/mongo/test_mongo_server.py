"""The test server behaves as MongoDB where Sacred's layout needs it."""

import math

import pymongo
import pytest


def test_the_server_keeps_not_finite_numbers_and_arrays_in_arrays(mongo_database):
    document = {
        "_id": 1,
        "values": [math.nan, math.inf, -math.inf, -0.0, 0.1],
        "loss": math.nan,
        "sources": [["a.py", "x"], ["b.py", [1, [2]]]],
    }
    mongo_database.runs.insert_one(document)
    mongo_database.runs.update_one({"_id": 1}, {"$push": {"values": {"$each": [math.nan, 2.5]}}})
    found = mongo_database.runs.find_one({"_id": 1})
    assert repr(found["values"]) == "[nan, inf, -inf, -0.0, 0.1, nan, 2.5]"
    assert math.isnan(found["loss"])
    assert found["sources"] == document["sources"]


def test_an_acknowledged_write_survives_sigkill_of_the_server(killable_mongo):
    with pymongo.MongoClient(killable_mongo.uri, serverSelectionTimeoutMS=5000) as client:
        client.test.runs.insert_one({"_id": 7})
        killable_mongo.restart()
        assert client.test.runs.find_one({"_id": 7}) == {"_id": 7}
        with pytest.raises(pymongo.errors.DuplicateKeyError):
            client.test.runs.insert_one({"_id": 7})
