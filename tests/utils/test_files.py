"""Files that are replaced as a whole."""

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading

import pytest

from reproducible_ml.utils.files import copy_whole, md5_of, replacing, write_json


def test_a_block_that_fails_leaves_the_file_as_it_was_and_nothing_beside_it(tmp_path):
    path = tmp_path / "result.json"
    path.write_bytes(b"before")

    def fail():
        with replacing(path) as file:
            file.write(b"half of the n")
            file.flush()
            assert path.read_bytes() == b"before"
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["result.json"]


def test_a_value_that_json_cannot_hold_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "result.json"
    write_json(path, {"step": 1})
    with pytest.raises(TypeError):
        write_json(path, {"step": 2, "weights": object()})
    assert json.loads(path.read_text()) == {"step": 1}
    assert os.listdir(tmp_path) == ["result.json"]


def test_json_keeps_the_order_of_keys_where_asked_for(tmp_path):
    value = {"step": 1, "digest": "ä"}
    write_json(tmp_path / "sorted", value)
    write_json(tmp_path / "as given", value, indent=1, sort_keys=False)
    assert (tmp_path / "sorted").read_bytes() == b'{\n  "digest": "\\u00e4",\n  "step": 1\n}'
    assert (tmp_path / "as given").read_bytes() == b'{\n "step": 1,\n "digest": "\\u00e4"\n}'


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "figures.json"
    path.write_bytes(b"before")
    program = (
        "import sys, pathlib\n"
        "from reproducible_ml.utils.files import write_json\n"
        "write_json(pathlib.Path(sys.argv[1]), ['x' * 100_000])\n"
    )

    def no_file_may_grow():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))

    failed = subprocess.run(
        [sys.executable, "-B", "-c", program, path],
        preexec_fn=no_file_may_grow,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert "File too large" in failed.stderr
    assert path.read_bytes() == b"before"
    # What measures the tests' coverage may write no whole file either.
    left = [name for name in os.listdir(tmp_path) if not name.startswith(".coverage")]
    assert left == ["figures.json"]


def test_a_reader_beside_two_writers_only_meets_whole_files(tmp_path):
    path = tmp_path / "run.json"
    texts = [letter * 300_000 for letter in "ab"]
    write_json(path, texts[0])

    def write(text):
        for _ in range(50):
            write_json(path, text)

    writers = [threading.Thread(target=write, args=(text,)) for text in texts]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert json.loads(path.read_text()) in texts
    assert os.listdir(tmp_path) == ["run.json"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_a_new_file_may_be_read_by_whom_the_umask_lets(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        write_json(tmp_path / "run.json", {})
    finally:
        os.umask(before)
    assert (tmp_path / "run.json").stat().st_mode & 0o777 == mode


def test_the_disk_has_the_content_before_the_name_where_that_was_asked_for(tmp_path, monkeypatch):
    path = tmp_path / "figures.jsonl"
    path.write_bytes(b"before")
    real, seen = os.fsync, []

    def fsync(number):
        seen.append((os.fstat(number).st_size, path.read_bytes()))
        real(number)

    monkeypatch.setattr(os, "fsync", fsync)
    with replacing(path) as file:
        file.write(b"not waited for")
    assert seen == []
    with replacing(path, synced=True) as file:
        file.write(b"1234")
    assert seen == [(4, b"not waited for")]
    assert path.read_bytes() == b"1234"


def test_a_copy_and_its_md5_are_those_of_all_bytes(tmp_path):
    content = bytes(range(256)) * 10_000  # more than one block
    (tmp_path / "one").write_bytes(content)
    copy_whole(tmp_path / "one", tmp_path / "two")
    assert (tmp_path / "two").read_bytes() == content
    assert md5_of(tmp_path / "two") == hashlib.md5(content).hexdigest()
