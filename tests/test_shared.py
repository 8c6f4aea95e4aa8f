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
    beside = threading.Event()
    order = []

    def ordinary(name, until=None):
        with turn(tmp_path, alone=False):
            order.append(name)
            if until is not None:
                assert until.wait(10)

    def alone():
        with turn(tmp_path, alone=True):
            order.append("alone")

    def waits(thread):
        thread.join(0.2)
        return thread.is_alive()

    first, second, third, last = (
        threading.Thread(target=ordinary, args=("first", beside)),
        threading.Thread(target=ordinary, args=("second",)),
        threading.Thread(target=alone),
        threading.Thread(target=ordinary, args=("last",)),
    )
    first.start()
    second.start()
    assert not waits(second), "ordinary tests run side by side"
    third.start()
    assert waits(third)
    last.start()
    assert waits(last), "who comes later lets the one that needs to be alone go before"
    beside.set()
    for thread in (first, third, last):
        thread.join(10)
    assert order == ["first", "second", "alone", "last"]


def test_a_lock_is_free_again_after_an_error(tmp_path):
    with pytest.raises(OSError, match="full"), locked(tmp_path / "lock"):
        raise OSError("full")
    with locked(tmp_path / "lock", fcntl.LOCK_EX | fcntl.LOCK_NB):
        pass
