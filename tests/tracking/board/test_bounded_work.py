"""Whatever one visitor asks for, the others are answered at once."""

import contextlib
import json
import os
import signal
import socket
import statistics
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from reproducible_ml.tracking.board.present import printed
from reproducible_ml.tracking.runs.expressions import Expression, QueryError
from tests.tracking.board import toy
from tests.tracking.board.conftest import FileStorageObserver

# Each is exponential or cubic in the length of a text that it nearly matches.
SLOW = ["(a+)+$", "(a|a)*$", "(a|aa)+$", "(.*a){20}$", "a*a*a*a*a*a*b"]
QUICK = [("^mnist", True), ("wgan$", True), ("mnist_(wgan|serialize)", True), ("x+", False)]


@pytest.mark.parametrize("pattern", SLOW)
def test_a_search_that_does_not_end_is_given_up(pattern, monkeypatch):
    monkeypatch.setattr("reproducible_ml.tracking.runs.expressions.SECONDS", 0.3)
    begin = time.monotonic()
    with pytest.raises(QueryError, match="takes longer"):
        Expression(pattern).found_in("a" * 5000 + "!")
    assert time.monotonic() - begin < 10


@pytest.mark.parametrize(("pattern", "found"), QUICK)
def test_an_ordinary_search_finds_what_python_finds(pattern, found):
    expression = Expression(pattern)
    assert [expression.found_in("mnist_wgan") for _ in range(20)] == [found] * 20


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("1%\r100%\nnext", "100%\nnext"),
        ("line\r\nnext", "line\nnext"),
        ("1\r2\r3\r\n", "3\n"),
        ("\x1b[32mgreen\x1b[0m", "green"),
        ("gone\r", ""),
    ],
)
def test_output_is_shown_in_its_final_form(text, shown):
    assert printed(text) == shown


@pytest.mark.parametrize("line", ["a" * 2_000_000, "a\r" * 1_000_000, "\x1b[" * 1_000_000])
def test_a_long_line_is_shown_in_a_time_that_grows_with_it(line):
    begin = time.process_time()
    printed(line)
    assert time.process_time() - begin < 3


def get(address):
    try:
        with urllib.request.urlopen(address, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.fixture
def runs(tmp_path):
    observer = FileStorageObserver(str(tmp_path / "runs"))
    for number in range(3):
        toy.record(observer, lambda: 1, "a" * 60 + f"!{number}")
    (tmp_path / "runs" / "2" / "cout.txt").write_text("a" * 2_000_000)
    # A pipe that nobody writes to.
    (tmp_path / "runs" / "4").mkdir()
    os.mkfifo(tmp_path / "runs" / "4" / "run.json")
    return tmp_path / "runs"


def slow_filter():
    clause = {"field": "experiment.name", "operator": "regex", "value": "(a+)+$"}
    query = json.dumps({"type": "and", "filters": [clause]})
    return "api/run?" + urllib.parse.urlencode({"queryFilter": query})


def test_two_hundred_requests_are_answered_beside_an_attacker(runs, start_board):
    board = start_board("-F", str(runs))
    get(f"{board.url}api/run")
    host, port = "127.0.0.1", int(board.url.rsplit(":", 1)[1].strip("/"))
    # Connections that never finish their request.
    unfinished = [socket.create_connection((host, port)) for _ in range(50)]
    for connection in unfinished:
        connection.sendall(b"GET /api/run HTTP/1.1\r\nHost: ")
    ended = threading.Event()
    answers, seconds = [], []

    def attack(path):
        while not ended.is_set():
            answers.append(get(board.url + path)[0])

    def visit():
        for _ in range(20):
            begin = time.monotonic()
            assert get(f"{board.url}api/run?draw=1&start=0&length=10")[0] == 200
            seconds.append(time.monotonic() - begin)

    paths = [slow_filter(), "api/run/2", "api/run/4", "api/run/1/metric/none"]
    attackers = [threading.Thread(target=attack, args=[path]) for path in paths]
    visitors = [threading.Thread(target=visit) for _ in range(10)]
    for thread in [*attackers, *visitors]:
        thread.start()
    for thread in visitors:
        thread.join()
    ended.set()
    for thread in attackers:
        thread.join()
    for connection in unfinished:
        connection.close()
    assert len(seconds) == 200
    assert statistics.median(seconds) < 0.3
    assert set(answers) <= {200, 400, 404, 500}


def test_it_ends_at_once_while_a_search_goes_on(runs, start_board):
    board = start_board("-F", str(runs))
    asked = threading.Thread(target=lambda: suppressed(board.url + slow_filter()))
    asked.start()
    time.sleep(1)
    searching = children(board.process.pid)
    board.process.send_signal(signal.SIGTERM)
    assert board.process.wait(timeout=2) == 0
    asked.join()
    assert len(searching) == 1
    end = time.monotonic() + 20
    while any(map(is_running, searching)):
        assert time.monotonic() < end, "the search goes on without the board"
        time.sleep(0.1)


def children(process):
    listed = Path(f"/proc/{process}/task").glob("*/children")
    return [int(child) for path in listed for child in path.read_text().split()]


def is_running(process):
    stat = Path(f"/proc/{process}/stat")
    # Without a parent it may stay as a zombie.
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def suppressed(address):
    with contextlib.suppress(OSError):
        get(address)
