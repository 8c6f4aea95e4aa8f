"""How a data set gets into its place: beside other writers, other hosts and odd file systems."""

import ctypes
import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from reproducible_ml.datasets.serialize import read_manifest
from reproducible_ml.datasets.serialize.checking.verification import verify
from reproducible_ml.datasets.serialize.publishing import staging
from reproducible_ml.datasets.serialize.publishing.leftovers import clean_leftovers
from reproducible_ml.utils.errors import ConfigError, DataError
from tests.datasets.small_data import rows_of, tree, write
from tests.small_disk import mounted

SIX, THREE = {"train": 6}, {"train": 3}


def no_rows(split):
    raise AssertionError("the rows were asked for before record_dir was looked at")


# --- other writers


def test_a_data_set_that_appears_while_another_is_written_stays(tmp_path):
    other = []

    def rows_gen(split):
        for number, row in enumerate(rows_of(SIX)(split)):
            if number == 2:
                other.append(write("data", THREE).fingerprint)
            yield row

    with pytest.raises(DataError, match=r"data already holds a data set\. Set overwrite=True"):
        write("data", SIX, rows_gen=rows_gen)
    assert read_manifest("data").fingerprint == other[0]
    assert os.listdir(tmp_path) == ["data"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_data_set_that_appears_in_the_last_moment_goes_only_with_overwrite(
    overwrite, tmp_path, monkeypatch
):
    """After everything was checked, before the rename."""
    real, other = staging.put_in_place, []

    def late(*arguments):
        monkeypatch.undo()
        monkeypatch.chdir(tmp_path)
        other.append(write("data", THREE).fingerprint)
        real(*arguments)

    monkeypatch.setattr(staging, "put_in_place", late)
    if overwrite:
        assert write("data", SIX, overwrite=True).fingerprint != other[0]
    else:
        with pytest.raises(DataError, match="data appeared during the writing"):
            write("data", SIX)
    assert (read_manifest("data").fingerprint == other[0]) is not overwrite
    assert verify("data") == []
    assert os.listdir(tmp_path) == ["data"]


def test_a_folder_that_another_start_removes_before_it_is_locked_is_made_again(
    tmp_path, monkeypatch
):
    real, cleaned = fcntl.flock, []

    def flock(file, option):
        if option == fcntl.LOCK_EX and not cleaned:
            cleaned.append(len(os.listdir(tmp_path)))
            clean_leftovers(tmp_path / "data")
            assert os.listdir(tmp_path) == [".data.lease"]
        return real(file, option)

    monkeypatch.setattr(fcntl, "flock", flock)
    write("data", SIX)
    assert cleaned == [2]
    assert verify("data") == []
    assert os.listdir(tmp_path) == ["data"]


# --- file systems without a lock, other hosts


def left_behind(tmp_path, host, process):
    folder = tmp_path / f".data.staging-{host}-{process}-abc_1234"
    folder.mkdir()
    return folder.name


@pytest.fixture
def ended_process():
    """Number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture(params=["ENOTSUP", "ENOSYS", "EBADF", "ENOLCK"])
def _no_locks(request, monkeypatch):
    def flock(file, option):
        raise OSError(getattr(errno, request.param), "no locks here")

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.mark.usefixtures("_no_locks")
def test_without_locks_a_data_set_is_written_and_only_dead_processes_leave_leftovers(
    tmp_path, ended_process, monkeypatch
):
    monkeypatch.setattr("socket.gethostname", lambda: "lab-7.example.org")
    left_behind(tmp_path, "lab_7_example_org", ended_process)
    alive = left_behind(tmp_path, "lab_7_example_org", os.getpid())
    write("data", SIX)
    assert sorted(os.listdir(tmp_path)) == sorted(["data", alive])


def test_another_hosts_leftovers_stay(tmp_path, ended_process, monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "lab")
    left_behind(tmp_path, "lab", ended_process)
    other = left_behind(tmp_path, "lab2", ended_process)
    write("data", SIX)
    assert sorted(os.listdir(tmp_path)) == sorted(["data", other])


# --- systems without an exchange of names


@pytest.fixture
def _no_exchange(monkeypatch):
    def missing(*arguments, **options):
        raise OSError("no such library")

    monkeypatch.setattr(ctypes, "CDLL", missing)


@pytest.mark.usefixtures("_no_exchange")
def test_without_an_exchange_the_old_data_set_goes_after_the_disk_knows_the_new_one(
    tmp_path, monkeypatch
):
    old = write("data", THREE).fingerprint
    real, seen = os.fsync, []

    def fsync(file):
        if os.path.samestat(os.fstat(file), os.stat(tmp_path)):
            seen.append(read_manifest(tmp_path / ".data.before").fingerprint)
        real(file)

    monkeypatch.setattr(os, "fsync", fsync)
    new = write("data", SIX, overwrite=True).fingerprint
    assert seen == [old]
    assert read_manifest("data").fingerprint == new
    assert os.listdir(tmp_path) == ["data"]


@pytest.mark.usefixtures("_no_exchange")
def test_without_an_exchange_the_old_data_set_comes_back_when_the_new_one_can_not_be_placed(
    tmp_path, monkeypatch
):
    write("data", THREE)
    before, real = tree(tmp_path), os.rename

    def rename(one, other):
        if ".staging-" in str(one) and not Path(other).exists():
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(one, other)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(DataError, match=r"data can't be put in place: Input/output error"):
        write("data", SIX, overwrite=True)
    assert tree(tmp_path) == before


@pytest.mark.usefixtures("_no_exchange")
def test_a_replacement_that_was_killed_half_way_is_undone_at_the_next_start(tmp_path):
    old = write("data", THREE).fingerprint
    os.rename("data", ".data.before")
    with pytest.raises(DataError, match="already holds a data set"):
        write("data", SIX)
    assert read_manifest("data").fingerprint == old
    assert os.listdir(tmp_path) == ["data"]


# --- folders that can't be replaced


@pytest.mark.parametrize("record_dir", [".", "..", "", "../inner", "/"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_the_working_folder_and_those_above_it_are_refused(
    record_dir, overwrite, tmp_path, monkeypatch
):
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    with pytest.raises(ConfigError, match=r"is the working directory or .* Use a sub-folder"):
        write(record_dir or str(tmp_path), SIX, rows_gen=no_rows, overwrite=overwrite)
    assert os.getcwd() == str(tmp_path / "inner")
    assert os.listdir(tmp_path) == ["inner"]


@pytest.fixture(params=["tmpfs", "a folder of the same disk"])
def mount_point(request, tmp_path):
    """A folder, with a space in its name, on which another one is mounted."""
    other = tmp_path / "other"
    other.mkdir()
    how = ["-t", "tmpfs", "tmpfs"] if request.param == "tmpfs" else ["--bind", str(other)]
    with mounted(tmp_path / "mount ed", *how) as place:
        yield place


def test_a_mount_point_is_refused_and_a_folder_on_it_is_not(mount_point):
    with pytest.raises(ConfigError, match=r"is a mount point, .* Use a sub-folder, such as"):
        write(mount_point, SIX, rows_gen=no_rows)
    write(mount_point / "data", SIX)
    assert verify(mount_point / "data") == []
    assert os.listdir(mount_point) == ["data"]


@pytest.mark.parametrize(
    ("record_dir", "said"),
    [
        ("loop", "Too many levels of symbolic links"),
        ("loop/data", "Too many levels of symbolic links"),
        ("x" * 256, "File name too long"),
        ("deep/" * 1000 + "data", "File name too long"),
        ("da\0ta", "is not a path: embedded null byte"),
        ("da\ud800ta", "is not a path"),
    ],
)
def test_what_can_be_no_folder_is_refused_at_the_start(record_dir, said, tmp_path):
    Path("loop").symlink_to("pool")
    Path("pool").symlink_to("loop")
    before = tree(tmp_path)
    with pytest.raises(ConfigError, match=said):
        write(record_dir, SIX, rows_gen=no_rows)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", ["x" * 255, "ß" * 127])
def test_the_longest_name_that_the_disk_takes_is_written(name, tmp_path):
    write(name, THREE)
    write(name, SIX, overwrite=True)
    assert read_manifest(name).splits["train"].records == 6
    assert os.listdir(tmp_path) == [name]


def test_a_second_writer_is_refused_before_it_writes_anything(tmp_path):
    code = (
        "import sys\nfrom reproducible_ml.datasets.serialize.publishing import staged\n"
        "with staged(sys.argv[1], False):\n    print('writes', flush=True)\n    sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, "data"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as first:
        assert first.stdout.readline() == "writes\n"
        with pytest.raises(ConfigError, match=rf"data is being written by process {first.pid} on"):
            write("data", SIX)
        assert sorted(path.name[:14] for path in tmp_path.iterdir()) == [
            ".data.lease",
            ".data.staging-",
        ]
        first.kill()
    write("data", SIX)
    assert os.listdir(tmp_path) == ["data"]
