"""What every test runs in: a quiet CPU-only TensorFlow, a folder of its own, and no network."""

import errno
import importlib.util
import ipaddress
import os
import socket
from pathlib import Path

import pytest

from tests.shared import turn

# Before anything imports TensorFlow: its start-up lines bury the tests', and a GPU has other bits.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

pytest_plugins = ["tests.mongo"] if importlib.util.find_spec("tests.mongo") else []

REAL_CONNECT = socket.socket.connect
REAL_GETADDRINFO = socket.getaddrinfo


def is_local(host):
    """Tell whether a host is this machine: no name, ``localhost``, or a loopback address."""
    host = host.decode("ascii") if isinstance(host, bytes) else host
    if host in (None, "", "localhost", socket.gethostname()):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def connect(self, address):
    """Connect within this machine; elsewhere fail as a machine without a network does."""
    if isinstance(address, tuple) and not is_local(address[0]):
        raise OSError(errno.ENETUNREACH, f"tests use no network, but one asked for {address}")
    return REAL_CONNECT(self, address)


def getaddrinfo(host, *args, **kwargs):
    """Look up this machine's own names; any other is unknown, as without a network."""
    if not is_local(host):
        raise socket.gaierror(socket.EAI_NONAME, f"tests use no network, but one asked for {host}")
    return REAL_GETADDRINFO(host, *args, **kwargs)


def pytest_configure():
    """Close the network to this process, unless the tests are told of a MongoDB elsewhere."""
    if "MONGODB_URI" in os.environ:
        return
    socket.socket.connect = connect
    socket.getaddrinfo = getaddrinfo


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    """Let a test that is marked ``alone`` wait for the other processes, and these for it."""
    # The line editor of a test process sets them, and what it starts would wrap its lines.
    for name in ("COLUMNS", "LINES"):
        os.environ.pop(name, None)
    if not hasattr(item.config, "workerinput"):
        return (yield)
    # Each process of pytest-xdist has a folder of its own in that of the session.
    session = Path(item.config.getoption("basetemp")).parent
    with turn(session, item.get_closest_marker("alone") is not None):
        return (yield)


@pytest.fixture(autouse=True)
def _folder_of_its_own(tmp_path, monkeypatch):
    """Run each test in its own empty folder, so that none leaves files in the checkout."""
    monkeypatch.chdir(tmp_path)
