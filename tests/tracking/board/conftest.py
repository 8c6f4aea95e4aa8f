"""Boards over the same toy runs, once in a folder and once in a database."""

import os
import re
import subprocess
import sys
import uuid
import warnings
from types import SimpleNamespace

import pymongo
import pytest

from reproducible_ml.tracking.board.server import create_app
from reproducible_ml.tracking.runs.opening import open_store
from tests.browser import ROOT, browser  # noqa: F401
from tests.tracking.board import toy

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from sacred.observers import FileStorageObserver, MongoObserver


@pytest.fixture(scope="module", params=["folder", "mongo"])
def recorded(request, tmp_path_factory):
    """Toy runs in every state, and how to get at them: options, store, observer."""
    folder = tmp_path_factory.mktemp("recorded")
    if request.param == "folder":
        runs = folder / "runs"
        runs.mkdir()
        place = SimpleNamespace(
            options=["-F", str(runs)],
            observer=lambda: FileStorageObserver(str(runs)),
            store=open_store(runs),
            folder=runs,
            database=None,
        )
    else:
        place = mongo_place(request)
    place.kind, place.scratch = request.param, folder
    place.ids = toy.fill(place.observer, folder)
    return place


def mongo_place(request):
    """Return the same for a database of the test server, dropped at the end."""
    uri, name = request.getfixturevalue("mongo_uri"), f"board_{uuid.uuid4().hex[:12]}"
    client = pymongo.MongoClient(uri, serverSelectionTimeoutMS=5000)

    store = open_store(mongo=f"{uri}/{name}")

    def leave():
        client.drop_database(name)
        client.close()
        store.close()

    request.addfinalizer(leave)
    return SimpleNamespace(
        options=["-mu", uri, name],
        observer=lambda: MongoObserver(client=client, db_name=name),
        store=store,
        folder=None,
        database=client[name],
    )


@pytest.fixture(scope="module")
def client(recorded):
    """A client of the board's application, without a server."""
    return create_app(recorded.store, "toy runs").test_client()


class BoardProcess:
    """The command ``sacredboard`` as a process of its own."""

    def __init__(self, *options):
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "reproducible_ml.tracking.board.main"),
                *("--no-browser", "--port", "0", *options),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        said = ""
        while not (found := re.search(r"http://\S+", said)):
            line = self.process.stdout.readline()
            if not line:
                raise RuntimeError(f"the board did not start: {said}")
            said += line
        self.said, self.url = said, found[0]

    def stop(self):
        """End it as a terminal does; return its exit code."""
        self.process.terminate()
        code = self.process.wait(timeout=10)
        self.process.stdout.close()
        return code


@pytest.fixture(scope="module")
def board(recorded):
    """A running board over the toy runs."""
    process = BoardProcess(*recorded.options)
    yield process.url
    process.stop()


@pytest.fixture
def start_board():
    """Start further boards; they end with the test."""
    started = []

    def start(*options):
        started.append(BoardProcess(*options))
        return started[-1]

    yield start
    for process in started:
        process.stop()
