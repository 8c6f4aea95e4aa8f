"""Addresses of databases in every form that people write, and passwords that nobody reads."""

import pymongo
import pytest

from reproducible_ml.tracking.mongo.address import parse_mongo, timeouts
from reproducible_ml.utils.errors import ConfigError
from reproducible_ml.utils.redaction import redact, redact_tree


@pytest.mark.parametrize(
    ("text", "uri", "database", "collection"),
    [
        ("sacred", "mongodb://localhost:27017", "sacred", "runs"),
        ("sacred.trials", "mongodb://localhost:27017", "sacred", "trials"),
        ("db1:27018", "mongodb://db1:27018", "sacred", "runs"),
        ("10.0.0.7:27018:mine", "mongodb://10.0.0.7:27018", "mine", "runs"),
        ("localhost:mine", "mongodb://localhost:27017", "mine", "runs"),
        ("[::1]:27017:mine.trials", "mongodb://[::1]:27017", "mine", "trials"),
        ("mongodb://h:1/mine", "mongodb://h:1/mine", "mine", "runs"),
        ("mongodb://h", "mongodb://h/", "sacred", "runs"),
        (
            "mongodb://u:p%40ss@h1,h2:2/mine?replicaSet=r",
            "mongodb://u:p%40ss@h1,h2:2/mine?replicaSet=r",
            "mine",
            "runs",
        ),
        (
            "mongodb+srv://u:secret@h.example/mine",
            "mongodb+srv://u:secret@h.example/mine",
            "mine",
            "runs",
        ),
    ],
)
def test_every_form_is_read(text, uri, database, collection):
    target = parse_mongo(text)
    assert (target.uri, target.database, target.collection) == (uri, database, collection)


def test_no_printed_form_holds_user_or_password():
    target = parse_mongo("mongodb://alice:correcthorse@h1:1,h2/mine?authSource=admin")
    for text in (str(target), repr(target), target.shown):
        assert "alice" not in text
        assert "correcthorse" not in text
    assert target.shown == "mongodb://h1:1,h2/mine"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "my db",
        "host:99999:db",
        "host:0:db",
        ".trials",
        "alice:correcthorse@host",
        "http://alice:correcthorse@host/db",
        "mongodb://alice:correct/horse@host/db",
        "mongodb://",
        "sacred.metrics",
    ],
)
def test_what_is_no_address_is_refused_without_its_password(text):
    with pytest.raises(ConfigError) as refusal:
        parse_mongo(text)
    assert "horse" not in str(refusal.value)
    assert str(refusal.value).endswith((".", ")"))


def test_passwords_are_hidden_in_any_text_from_then_on():
    parse_mongo("mongodb://bob:batterystaple@h/mine")
    assert redact("auth failed: batterystaple") == "auth failed: ***"
    assert redact("mongodb://x:y@h/d and http://u:v@w/") == "mongodb://***@h/d and http://***@w/"
    # A gap in a key would rename a setting.
    nested = {"batterystaple": ["batterystaple", 1, ("batterystaple",)]}
    assert redact_tree(nested) == {"batterystaple": ["***", 1, ("***",)]}
    assert redact("nothing here") == "nothing here"


def test_timeouts_are_what_the_driver_waits_for():
    with pymongo.MongoClient("localhost", connect=False, **timeouts(2.5, 20)) as client:
        pool = client.options.pool_options
        waits = (client.options.server_selection_timeout, pool.connect_timeout, pool.socket_timeout)
    assert waits == (2.5, 2.5, 20)


def test_without_a_limit_an_answer_may_take_any_time():
    with pymongo.MongoClient("localhost", connect=False, **timeouts(3)) as client:
        pool = client.options.pool_options
        waits = (client.options.server_selection_timeout, pool.connect_timeout, pool.socket_timeout)
    assert waits == (3, 3, None)
