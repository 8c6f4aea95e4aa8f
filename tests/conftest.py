"""What every test runs in: a quiet CPU-only TensorFlow, a folder of its own, and no network."""

import errno
import importlib.util
import ipaddress
import os
import socket
import sys
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


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """Return how many processes run tests: three for two processors.

    A test waits for servers and for processes that it has started in two fifths of its time. The
    memory bounds their number, since each imports TensorFlow and starts trainings.
    """
    return min(4, max(1, (os.cpu_count() or 1) * 3 // 2))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Let each process begin with its share of the long tests, so that none is left for the end.

    Neighbours stay together: the tests of one module that start clusters would only wait for each
    other's processes.
    """
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    slow = [item for item in items if item.get_closest_marker("slow")]
    short = [item for item in items if not item.get_closest_marker("slow")]
    if not slow or not short:
        return
    items[:] = [
        item
        for number in range(processes)
        for tests in (slow, short)
        for item in tests[number * len(tests) // processes : (number + 1) * len(tests) // processes]
    ]


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
    """Run each test in its own empty folder, so that none leaves files in the checkout.

    Nor does one leave modules that it imported from there: runs of later tests would record them.
    """
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield
    for name in sys.modules.keys() - before:
        file = getattr(sys.modules[name], "__file__", None)
        if isinstance(file, str) and tmp_path in Path(file).parents:
            del sys.modules[name]
