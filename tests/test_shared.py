"""Folders and turns that the processes of a test session share; threads take them here."""

import fcntl
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.shared import locked, made_once, turn


class Session:
    """What ``made_once`` asks of pytest's factory, with a folder for this process."""

    def __init__(self, folder):
        self.folder = folder

    def getbasetemp(self):
        return self.folder


def test_a_folder_is_made_once_for_all_processes(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    made = []

    def make(folder):
        time.sleep(0.1)
        (folder / "file").write_text("whole")
        made.append(folder)

    def get(number):
        mine = tmp_path / f"popen-gw{number}"
        mine.mkdir()
        folder = made_once(Session(mine), "thing", make)
        return folder, (folder / "file").read_text()

    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(get, range(4)))
    assert found == {(tmp_path / "thing", "whole")}
    assert made == [tmp_path / "thing"]


def test_a_folder_that_could_not_be_filled_is_made_afresh(tmp_path, monkeypatch):
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)

    def fail(folder):
        (folder / "half").touch()
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        made_once(Session(tmp_path), "thing", fail)
    folder = made_once(Session(tmp_path), "thing", lambda folder: (folder / "whole").touch())
    assert [path.name for path in folder.iterdir()] == ["whole"]


def test_who_needs_to_be_alone_waits_for_the_others_and_they_for_it(tmp_path):
    begun, end = threading.Event(), threading.Event()
    order = []

    def long():
        with turn(tmp_path, alone=False):
            order.append("long")
            begun.set()
            assert end.wait(60)

    def start(name, alone):
        def run():
            with turn(tmp_path, alone):
                order.append(name)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    threads = [threading.Thread(target=long)]
    threads[0].start()
    assert begun.wait(60)
    start("beside it", alone=False).join(60)
    assert order == ["long", "beside it"]
    threads.append(start("alone", alone=True))
    until(lambda: is_held(tmp_path / "gate.lock"))
    # Later than the one that needs to be alone, so it waits though only "long" runs.
    threads.append(start("later", alone=False))
    time.sleep(0.2)
    assert order == ["long", "beside it"]
    end.set()
    for thread in threads:
        thread.join(60)
    assert order == ["long", "beside it", "alone", "later"]


def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_held(path):
    try:
        with locked(path, fcntl.LOCK_SH | fcntl.LOCK_NB):
            return False
    except BlockingIOError:
        return True


def test_a_lock_is_free_again_after_an_error(tmp_path):
    with pytest.raises(OSError, match="full"), locked(tmp_path / "lock"):
        raise OSError("full")
    with locked(tmp_path / "lock", fcntl.LOCK_EX | fcntl.LOCK_NB):
        pass
