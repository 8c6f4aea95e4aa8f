"""A real server of MongoDB's wire protocol for the tests, as pytest fixtures.

In this order: the server of ``MONGODB_URI``; ``mongod`` of the PATH; FerretDB, built from
``tests/mongo_server``. With none of them the tests that ask for one are skipped with the reason.
"""

import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

import pytest

from tests.mongo_server.build import build
from tests.require import skip_or_fail

READY_SECONDS = 30
# Found out once a session: the command that starts a server, or why there is none.
_command_or_reason = []


def server_command():
    """Return the function (port, directory) -> command line; raise RuntimeError with a reason."""
    if not _command_or_reason:
        try:
            _command_or_reason.append(_find_command())
        except RuntimeError as error:
            _command_or_reason.append(error)
    found = _command_or_reason[0]
    if isinstance(found, RuntimeError):
        raise found
    return found


def _find_command():
    mongod = shutil.which("mongod")
    if mongod:
        return lambda port, directory: [
            *(mongod, "--quiet", "--bind_ip", "127.0.0.1"),
            *("--port", str(port), "--dbpath", str(directory)),
        ]
    binary = build()
    return lambda port, directory: [str(binary), f"127.0.0.1:{port}", str(directory)]


class MongoServer:
    """A server process of one's own, to be killed and started again on the same port and data."""

    def __init__(self):
        self.command = server_command()
        self.directory = Path(tempfile.mkdtemp(prefix="reproducible-ml-mongo-"))
        self.port = _free_port()
        self.process = None

    @property
    def uri(self):
        """Address of the server, running or not."""
        return f"mongodb://127.0.0.1:{self.port}"

    def start(self):
        """Start the server and return when it accepts connections."""
        assert self.process is None, "the server runs already"
        with open(self.directory / "server.log", "ab") as log:
            self.process = subprocess.Popen(
                self.command(self.port, self.directory), stdout=log, stderr=log
            )
        self._wait_until_ready()
        return self

    def _wait_until_ready(self):
        deadline = time.monotonic() + READY_SECONDS
        while not _accepts(self.port):
            if self.process.poll() is not None or time.monotonic() > deadline:
                log = (self.directory / "server.log").read_text(errors="replace")
                self.kill()
                raise RuntimeError(f"the MongoDB test server did not start: {log[-2000:]}")
            select.select([], [], [], 0.02)

    def kill(self):
        """Kill the server with SIGKILL; what it had acknowledged must still be there after."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def pause(self):
        """Freeze the server: connections are taken by the kernel, and nobody answers."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        """Let a frozen server go on."""
        self.process.send_signal(signal.SIGCONT)

    def restart(self):
        """Kill the server and start it on the same port and data."""
        self.kill()
        return self.start()

    def close(self):
        """End the server and remove its data."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _accepts(port):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="session")
def mongo_server():
    """The session's own server process; skipped where none can be had."""
    try:
        server = MongoServer().start()
    except RuntimeError as error:
        skip_or_fail("mongo", f"no MongoDB: MONGODB_URI is not set, no mongod on the PATH; {error}")
    yield server
    server.close()


@pytest.fixture(scope="session")
def mongo_uri(request):
    """URI of the session's server: of ``MONGODB_URI``, or a server started for the session."""
    return os.environ.get("MONGODB_URI") or request.getfixturevalue("mongo_server").uri


@pytest.fixture
def mongo_client(mongo_uri):
    """A connected ``pymongo.MongoClient``."""
    import pymongo

    with pymongo.MongoClient(mongo_uri, serverSelectionTimeoutMS=5000) as client:
        yield client


@pytest.fixture
def mongo_database(mongo_client):
    """A new empty database (pymongo's object; ``.name`` is its name), dropped after the test."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield mongo_client[name]
    mongo_client.drop_database(name)


@pytest.fixture
def killable_mongo():
    """A server for one test alone, to be killed at will; already started."""
    try:
        server = MongoServer().start()
    except RuntimeError as error:
        skip_or_fail("mongo", f"no server to kill: no mongod on the PATH; {error}")
    import pymongo

    # FerretDB makes a collection in two steps and takes it for neither there nor new if it is
    # killed between them; mongod makes it whole. So the kills meet collections that are there.
    with pymongo.MongoClient(server.uri, serverSelectionTimeoutMS=5000) as client:
        for name in ("runs", "metrics", "fs.files", "fs.chunks"):
            client["faults"].create_collection(name)
    yield server
    server.close()
