"""A disk that takes no more is one sentence, whether Python or TensorFlow met it."""

import errno
import os
import shutil
import subprocess

import pytest
import tensorflow as tf

from reproducible_ml.tracking import experiment
from reproducible_ml.utils.disk import DiskError, disk_problem, writing
from tests.small_disk import small_disk


@pytest.fixture
def disk(tmp_path):
    """A disk of 64 KiB."""
    with small_disk(tmp_path / "disk", "64k", lazily=True) as place:
        yield place


def save(folder, count=100_000):
    """Write a checkpoint as TensorFlow's savers do."""
    tf.raw_ops.SaveV2(
        prefix=str(folder / "model.ckpt-3"),
        tensor_names=["weights"],
        shape_and_slices=[""],
        tensors=[tf.zeros([count])],
    )


def write_grid(folder):
    (folder / "grid.png").write_bytes(b"x" * 100_000)


def said(folder, write):
    with pytest.raises(DiskError) as found, writing(f"The training in {folder}", folder):
        write(folder)
    text = str(found.value)
    assert text.startswith(f"The training in {folder} can't be written ({folder}")
    assert text.count(". ") == 1
    # Printed with the error, TensorFlow's own would be 150 lines.
    assert found.value.__suppress_context__
    return text


@pytest.mark.parametrize("write", [save, write_grid])
def test_a_full_disk(disk, write):
    text = said(disk, write)
    assert ": the disk is full. Free some space, then start it again." in text
    assert isinstance(DiskError(), OSError)


@pytest.mark.parametrize("write", [save, write_grid])
def test_a_disk_that_can_only_be_read(disk, write):
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert "the file system is read-only. Name a folder that can be written" in said(disk, write)


@pytest.mark.parametrize("write", [save, write_grid])
def test_a_folder_that_was_removed(tmp_path, write):
    # TensorFlow makes the folders of a checkpoint itself; a file in their place stays.
    gone = tmp_path / "models" / "a"
    if write is save:
        (tmp_path / "models").write_text("")
        assert "a part of its path is no folder" in said(gone, write)
    else:
        assert "its folder is gone" in said(gone, write)


def test_a_file_that_is_not_there_is_no_fault_of_the_disk(tmp_path):
    for read in (
        lambda: (tmp_path / "rows.csv").read_text(),
        lambda: tf.io.read_file(str(tmp_path / "rows.csv")),
        lambda: [][1],
    ):
        with pytest.raises(Exception) as found, writing("The model", tmp_path / "model"):  # noqa: PT011
            read()
        assert not isinstance(found.value, DiskError)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_the_systems_text_in_an_error_of_tensorflow_is_enough(number):
    text = f"/models/a/model.ckpt-2_temp/part-0; {os.strerror(number)}\n\t [[{{node save}}]]"
    error = tf.errors.ResourceExhaustedError(None, None, text)
    assert disk_problem(error) == (number, "/models/a/model.ckpt-2_temp/part-0")
    assert disk_problem(tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")) is None


def test_a_full_disk_ends_an_experiment_with_one_sentence(capsys):
    ex = experiment("filler")

    @ex.main
    def main():
        with open("/dev/full", "w") as file:
            file.write("x")

    with pytest.raises(SystemExit) as stopped:
        ex.run_commandline(["filler"])
    error = capsys.readouterr().err
    assert stopped.value.code == 1
    assert "Traceback" not in error
    assert error.splitlines()[-1] == (
        "Error: A file can't be written: the disk is full. Free some space, then run it again."
    )


def test_a_command_that_may_not_write_is_one_sentence(disk, tmp_path, capsys):
    from reproducible_ml.cli import main

    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with pytest.raises(SystemExit) as stopped:
        main(["new", str(disk / "project")])
    assert stopped.value.code == 1
    assert capsys.readouterr().err == f"Error: {disk / 'project'}: Read-only file system.\n"
    shutil.rmtree(tmp_path / "runs", ignore_errors=True)
