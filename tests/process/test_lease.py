"""Leases of folders: one process writes, killed ones leave nothing in the way."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from reproducible_ml import process
from reproducible_ml.process import beside, hold, this_process, within, writing_run
from reproducible_ml.process import lease as leases
from reproducible_ml.process.owner import _started
from reproducible_ml.utils.errors import ConfigError, TrackingError

HOLDS = """
import sys, time
from reproducible_ml.process import Held, hold
try:
    with hold(sys.argv[1], "run 7"):
        print("held", flush=True)
        time.sleep(float(sys.argv[2]))
except Held as error:
    print(error, flush=True)
"""


def start(folder, seconds=60.0):
    command = [sys.executable, "-c", HOLDS, str(folder), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def foreign(folder, age=0.0, pid=4711, run="toy run 3"):
    """Leave a lease of another host, renewed so many seconds ago."""
    path = beside(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    owner = {"host": "elsewhere", "boot": "b", "namespace": "n", "pid": pid, "started": "1"}
    since = "2026-01-02 03:04:05 UTC"
    path.write_text(json.dumps({"token": "t" * 16, "owner": owner, "run": run, "since": since}))
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def leftovers(folder="."):
    return sorted(path.name for path in Path(folder).rglob("*lease*"))


def test_a_second_process_is_refused_in_a_sentence_and_a_killed_one_is_replaced(capsys):
    with start("models/x") as first:
        assert first.stdout.readline() == "held\n"
        with pytest.raises(process.Held) as error, hold("models/x"):
            pass
        said = str(error.value)
        host = this_process().host
        assert said.startswith(
            f"models/x is being written by process {first.pid} on {host} (run 7)"
        )
        assert said.endswith(f"stop it (kill {first.pid}), or name another folder.")
        assert "\n" not in said
        assert writing_run("models/x") == "run 7"
        first.send_signal(signal.SIGKILL)
        # Also as a zombie, which nobody has waited for yet.
        deadline = time.monotonic() + 20
        while writing_run("models/x"):
            assert time.monotonic() < deadline
        with hold("models/x"):
            told = capsys.readouterr().err
            assert told.startswith(
                f"Taken over: models/x was held by process {first.pid} on {host}"
            )
            assert told.strip().endswith("which is gone.")
            assert start("models/x", 0).communicate()[0].startswith("models/x is being written by")
        first.wait()
    assert leftovers() == []
    Path("models").rmdir()
    with hold("models/x"):
        pass
    assert not Path("models").exists()


def test_a_stopped_process_still_holds_its_folder():
    with start("x") as first:
        assert first.stdout.readline() == "held\n"
        first.send_signal(signal.SIGSTOP)
        with pytest.raises(process.Held), hold("x"):
            pass
        first.kill()


def test_of_many_that_take_over_at_once_one_gets_it():
    for _ in range(5):
        foreign("x", age=1000)
        got, refused, together = [], [], threading.Barrier(8)

        def take(got=got, refused=refused, together=together):
            together.wait()
            lease = leases.Lease(beside("x"), Path("x"), "", None)
            try:
                lease.acquire(wait=False)
                got.append(lease)
            except process.Held:
                refused.append(lease)

        threads = [threading.Thread(target=take) for _ in range(8)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert (len(got), len(refused)) == (1, 7)
        got[0].remove()
        assert leftovers() == []


@pytest.mark.parametrize("skew", [-3600, 0, 3600])
def test_another_hosts_lease_counts_by_its_age_on_the_disk_whatever_the_clocks(monkeypatch, skew):
    real = time.time
    monkeypatch.setattr(leases.time, "time", lambda: real() + skew)
    path = foreign("x", age=leases.EXPIRY_SECONDS + 5 + skew)
    os.utime(path, (real() - leases.EXPIRY_SECONDS - 5,) * 2)
    with hold("x"):
        pass
    path = foreign("x")
    os.utime(path)
    said = r"on elsewhere \(toy run 3\) since 2026.*stop it there"
    with pytest.raises(process.Held, match=said), hold("x", wait=False):
        pass
    path.unlink()


def test_another_host_that_renews_is_waited_for_no_longer_than_that(monkeypatch, capsys):
    monkeypatch.setattr(leases, "EXPIRY_SECONDS", 2.0)
    path = foreign("x", age=0.2)
    renewing = threading.Timer(1.2, lambda: os.utime(path))
    renewing.start()
    with pytest.raises(process.Held), hold("x"):
        pass
    assert "x is held by process 4711 on elsewhere" in capsys.readouterr().err
    # Not renewed any more: it has died, and its lease expires.
    with hold("x"):
        assert "which no longer renews its lease." in capsys.readouterr().err


def test_it_is_renewed_and_one_that_was_lost_is_noticed(monkeypatch):
    monkeypatch.setattr(leases, "RENEWAL_SECONDS", 0.05)
    with hold("x") as lease:
        path = beside("x")
        for _ in range(2):
            os.utime(path, (1, 1))
            lease.renew()
            assert path.stat().st_mtime > 1
            lease.check()
            path.unlink()
            lease.renew()  # somebody removed the file
        foreign("x")
        lease.renew()
        with pytest.raises(TrackingError, match=r"x was taken over by process 4711 on elsewhere"):
            lease.check()
    # It is not this process's to remove.
    assert leftovers() == [".x.lease"]


def test_in_one_process_it_is_the_holders_however_often():
    one, two = ["run"], ["another"]
    with hold("x", holder=one), hold("x", holder=one), hold("x"):
        assert leftovers() == [".x.lease"]
        found = []

        def take(holder):
            try:
                with hold("x", holder=holder):
                    found.append("held")
            except process.Held as error:
                found.append(str(error))

        for holder in (one, None, two):
            thread = threading.Thread(target=take, args=(holder,))
            thread.start()
            thread.join()
        assert found[:2] == ["held", "held"]
        assert found[2].startswith("x is being written by this process already")
    with pytest.raises(KeyError), hold("x"):
        raise KeyError
    assert leftovers() == []


def test_a_forked_child_neither_holds_nor_releases():
    with hold("x"):
        child = os.fork()
        if not child:
            code = 1
            try:
                with hold("x"):
                    pass
            except process.Held:
                code = 0
            leases._release_all()
            os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        assert leftovers() == [".x.lease"]
    assert leftovers() == []


def test_links_lead_to_the_same_lease_and_a_place_that_takes_none_is_named():
    Path("real").mkdir()
    Path("link").symlink_to("real")
    assert beside("link") == beside("real") == beside("./real/")
    assert within("link").name == ".lease"
    Path("file").touch()
    said = "file/x can't be held for this process, since "
    with pytest.raises(ConfigError, match=said), hold("file/x"):
        pass


def test_a_damaged_lease_counts_until_it_has_expired(monkeypatch):
    path = beside("x")
    path.write_text("{")
    with pytest.raises(process.Held, match="an unknown host"), hold("x", wait=False):
        pass
    os.utime(path, (1, 1))
    with hold("x", wait=False):
        pass
    assert leftovers() == []


def test_what_a_process_left_that_was_killed_while_it_made_its_lease_is_removed():
    done = subprocess.run(["sh", "-c", "echo $$"], capture_output=True, text=True, check=True)
    mine = this_process()
    gone = dataclasses.replace(mine, pid=int(done.stdout), started="1")
    elsewhere = dataclasses.replace(mine, host="elsewhere")
    lives = dataclasses.replace(mine, pid=os.getppid(), started=_started(os.getppid()))
    for owner in gone, elsewhere, lives:
        # Nothing is in them yet.
        Path(f".x.lease.{owner.label}.{6 * '1f'}").touch()
    with hold("x"):
        pass
    assert leftovers() == sorted(
        f".x.lease.{owner.label}.{6 * '1f'}" for owner in (elsewhere, lives)
    )
    for name in leftovers():
        os.utime(name, (1, 1))
    with hold("x"):
        pass
    assert leftovers() == []
