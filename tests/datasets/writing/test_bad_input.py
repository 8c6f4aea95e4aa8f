"""What goes wrong when a data set is written: one clear error, and the folder as it was before."""

import errno
import os
import re
import signal

import numpy as np
import pytest

from reproducible_ml.datasets.serialize import read_manifest, serialize_npz, serialize_source
from reproducible_ml.datasets.sources import make_source
from reproducible_ml.handlers import ArrayHandler, ImageHandler, LabelHandler
from reproducible_ml.utils.errors import ConfigError, DataError
from tests.datasets.small_data import images_and_labels, start_writer, tree, write
from tests.small_disk import small_disk

# Writes 4 records a shard for as long as its rows come, and says when the first shard is full.
WRITER = """
import json, os, sys
from tests.datasets.small_data import images_and_labels, write

settings = json.loads(sys.argv[1])
if "file_bytes" in settings:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (settings["file_bytes"],) * 2)
if settings.get("as_nobody") and os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)

def rows_gen(split):
    images, labels = images_and_labels(1000)
    for number in range(settings["rows"]):
        if number == 6:
            print("half", flush=True)
        yield {"image": images[number % 1000], "label": labels[0]}

write(
    settings["record_dir"], {"train": settings["rows"]}, settings.get("samples_per_record", 4),
    rows_gen=rows_gen, compression=settings.get("compression", ""), overwrite=True,
)
"""
FOREVER = 10**6


@pytest.fixture
def before(tmp_path):
    """Remember the folder's content when called; after the test it must be the same."""
    states = []
    yield lambda: states.append(tree(tmp_path))
    assert states, "the test must call before()"
    assert tree(tmp_path) == states[-1]


@pytest.fixture
def npz_file(tmp_path):
    images, labels = images_and_labels(12)
    np.savez(tmp_path / "digits.npz", x_train=images, y_train=labels)
    return "digits.npz"


@pytest.mark.parametrize("source", ["mnist", "npz"])
def test_a_missing_file_is_named(source, before):
    before()
    with pytest.raises(DataError, match=r"There is no file nowhere/digits\.npz\."):
        serialize_source(make_source(source, npz_file="nowhere/digits.npz"), "records")


def test_serialize_npz_names_a_missing_file(before):
    before()
    with pytest.raises(DataError, match=r"There is no file digits\.npz\."):
        serialize_npz("digits.npz", "image", "records")


def test_an_npz_without_the_key_names_what_it_has(npz_file, before):
    before()
    with pytest.raises(DataError, match=r"digits\.npz has no array 'image'; it has x_train, y_tr"):
        serialize_npz(npz_file, "image", "records")
    with pytest.raises(DataError, match=r"digits\.npz has no array 'x_test'"):
        serialize_source(make_source("mnist", npz_file=npz_file), "records")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut off"])
def test_a_damaged_npz_is_named(content, before, tmp_path):
    (tmp_path / "digits.npz").write_bytes(content)
    before()
    with pytest.raises(DataError, match=r"digits\.npz"):
        serialize_npz("digits.npz", "image", "records")


def test_an_npz_cut_off_or_changed_in_its_middle_is_named(npz_file, before, tmp_path):
    content = (tmp_path / npz_file).read_bytes()
    changed = bytearray(content)
    changed[200] ^= 1
    for number, damaged in enumerate((content[: len(content) // 2], bytes(changed))):
        (tmp_path / f"damaged{number}.npz").write_bytes(damaged)
    before()
    for number in range(2):
        with pytest.raises(DataError, match=rf"damaged{number}\.npz"):
            serialize_npz(f"damaged{number}.npz", "x_train", "records")


def test_a_single_array_in_place_of_an_npz_is_refused(before, tmp_path):
    np.save(tmp_path / "digits.npy", np.zeros((3, 4, 4), np.uint8))
    before()
    with pytest.raises(DataError, match=r"digits\.npy is a single array, expected an NPZ file"):
        serialize_npz("digits.npy", "image", "records")


def test_python_objects_in_an_npz_are_refused(before, tmp_path):
    np.savez(tmp_path / "objects.npz", image=np.array([{"a": 1}, None], object))
    before()
    with pytest.raises(DataError, match=r"objects\.npz holds Python objects"):
        serialize_npz("objects.npz", "image", "records")


def test_arrays_of_unequal_length_name_both_lengths(before, tmp_path):
    images, labels = images_and_labels(12)
    np.savez(tmp_path / "odd.npz", x_train=images, y_train=labels, x_test=images, y_test=labels[:7])
    before()
    with pytest.raises(DataError, match="'test' of npz has 12 images and 7 labels"):
        serialize_source(make_source("npz", npz_file="odd.npz"), "records")


def test_training_arrays_of_unequal_length_name_both_lengths(before, tmp_path):
    images, labels = images_and_labels(24)
    np.savez(tmp_path / "odd.npz", x_train=images, y_train=labels[:23])
    before()
    with pytest.raises(DataError, match=r"odd\.npz: x_train has 24 rows, y_train 23"):
        serialize_source(make_source("npz", npz_file="odd.npz"), "records")


@pytest.mark.parametrize(
    ("handler", "value", "said"),
    [
        (ArrayHandler((2,), "uint8"), np.array([1, 256]), "found 256, out of the range of uint8"),
        (ArrayHandler((2,), "uint8"), np.array([1.5, 0]), "found 1.5, which is not an integer"),
        (ArrayHandler((2,), "uint8"), np.array([1, np.nan]), "found NaN"),
        (ArrayHandler((2,), "uint8"), np.array(["a", "b"]), "expected numbers"),
        (ArrayHandler((2,), "uint8"), np.array([1, 2, 3], np.uint8), r"shape \(3,\), expected \(2"),
        (ImageHandler((4, 4, 1)), np.zeros((4, 4, 3), np.uint8), "3 channels, expected 1"),
        (ImageHandler((4, 4, 1)), np.zeros(16, np.uint8), r"shape \(16,\), expected an image"),
        (LabelHandler(3), 3, "found label 3, expected 0 to 2"),
        (LabelHandler(3), 1.5, "found 1.5, which is not an integer"),
    ],
)
def test_a_value_of_a_wrong_dtype_or_shape_names_shard_and_record(handler, value, said, before):
    before()
    good = {"ArrayHandler": np.zeros(2, np.uint8), "ImageHandler": np.zeros((4, 4, 1), np.uint8)}
    rows = [{"it": good.get(type(handler).__name__, 1)}] * 5 + [{"it": value}]
    with pytest.raises(DataError, match=rf"train-00001\.tfrecord, record 1.*{said}"):
        write("r", {"train": 6}, keys_to_handlers={"it": handler}, rows_gen=lambda _: iter(rows))


def test_arrays_that_are_no_images_are_refused(before, tmp_path):
    np.savez(tmp_path / "flat.npz", x_train=np.zeros((12, 784)), y_train=np.zeros(12, int))
    before()
    with pytest.raises(DataError, match=r"shape \(11, 784\), expected \(count, height, width\)"):
        serialize_source(make_source("npz", npz_file="flat.npz"), "records")


@pytest.mark.parametrize(
    ("x_shape", "dtype"),
    [((600, 28, 27), np.uint8), ((600, 2, 2), np.uint8), ((9, 28, 28), "f")],
)
def test_an_npz_that_is_not_mnists_is_refused(x_shape, dtype, before, tmp_path):
    x, y = np.zeros(x_shape, dtype), np.zeros(x_shape[0], np.uint8)
    np.savez_compressed(tmp_path / "other.npz", x_train=x, y_train=y, x_test=x[:1], y_test=y[:1])
    before()
    with pytest.raises(DataError, match=r"other\.npz is not MNIST: .*source=npz"):
        make_source("mnist", npz_file="other.npz")


@pytest.mark.parametrize("size", [0, -1])
def test_an_empty_split_is_refused(size, before):
    before()
    with pytest.raises(ConfigError, match=f"'eval' has {size} samples"):
        write("records", {"train": 3, "eval": size})


def test_no_split_at_all_is_refused(before):
    before()
    with pytest.raises(ConfigError, match="split_to_size is empty"):
        write("records", {})


def test_an_unknown_split_is_refused(before):
    before()
    with pytest.raises(ConfigError, match="no split 'valid'; the splits are train, eval, test"):
        write("records", {"valid": 3})


def test_an_array_without_rows_is_refused(before, tmp_path):
    np.savez(tmp_path / "none.npz", image=np.zeros((0, 4, 4), np.uint8))
    before()
    with pytest.raises(
        DataError, match=r"'image' has shape \(0, 4, 4\), expected at least one row"
    ):
        serialize_npz("none.npz", "image", "records")


@pytest.mark.parametrize("samples", [0, -5])
def test_samples_per_record_of_none_is_refused(samples, before):
    before()
    with pytest.raises(ConfigError, match=f"samples_per_record must be 1 or more, found {samples}"):
        write("records", {"train": 3}, samples)


@pytest.mark.parametrize("compression", ["gzip", "ZIP", "BZ2", None])
def test_an_unknown_compression_is_refused(compression, before):
    before()
    with pytest.raises(ConfigError, match=re.escape(repr(compression))):
        write("records", {"train": 3}, compression=compression)


def test_an_unknown_gan_type_is_refused_with_those_that_there_are(before):
    from reproducible_ml.models import critic_fn, generator_fn

    before()
    for function in (generator_fn, critic_fn):
        said = r"no gan_type 'wgna'; did you mean 'wgan'\? Choose one of: .*wgan"
        with pytest.raises(ConfigError, match=said):
            function("wgna")


def test_no_handlers_are_refused(before):
    before()
    with pytest.raises(DataError, match="keys_to_handlers is empty"):
        write("records", {"train": 3}, keys_to_handlers={})


def test_a_row_without_the_field_names_it(before):
    before()
    with pytest.raises(DataError, match=r"record 0: the row has no field 'label'.*'image'"):
        write("r", {"train": 1}, rows_gen=lambda _: iter([{"image": np.zeros((4, 4), np.uint8)}]))


def test_an_error_of_the_rows_themselves_leaves_nothing(before):
    def rows_gen(split):
        yield {"image": np.zeros((4, 4, 1), np.uint8), "label": 1}
        raise RuntimeError("the camera is gone")

    before()
    with pytest.raises(RuntimeError, match="the camera is gone"):
        write("records", {"train": 3}, rows_gen=rows_gen)


@pytest.mark.parametrize("record_dir", ["file", "file/records", "file/deep/records"])
def test_a_folder_below_a_file_is_refused_by_its_name(record_dir, before, tmp_path):
    (tmp_path / "file").write_text("mine")
    before()
    with pytest.raises(DataError, match=f"{tmp_path}/file"):
        write(record_dir, {"train": 3})


def finish(process):
    """Wait for a process; return its exit code and its last line of error."""
    _, error = process.communicate(timeout=60)
    return process.returncode, error.strip().splitlines()[-1] if error else ""


def test_a_folder_that_must_not_be_written_is_named(before, tmp_path):
    (tmp_path / "locked").mkdir()
    (tmp_path / "locked").chmod(0o555)
    before()
    target = str(tmp_path / "locked" / "records")
    values = {"rows": 8, "record_dir": target, "as_nobody": True}
    code, error = finish(start_writer(WRITER, tmp_path, measured=False, **values))
    assert code == 1
    assert "DataError" in error
    assert f"{tmp_path}/locked can't be written: Permission denied" in error


@pytest.mark.parametrize("compression", ["", "GZIP"])
def test_a_file_larger_than_allowed_is_named(compression, before, tmp_path):
    before()
    values = {"rows": 5000, "samples_per_record": 5000, "record_dir": "records"}
    values.update(compression=compression, file_bytes=10_000)
    code, error = finish(start_writer(WRITER, tmp_path, measured=False, **values))
    assert code == 1
    assert "DataError" in error
    assert "train-00000.tfrecord can't be written: File too large" in error


@pytest.fixture
def disk(tmp_path):
    """A disk of 64 KiB."""
    with small_disk(tmp_path / "disk", "64k") as place:
        yield place


def test_a_full_disk_is_named_and_the_data_set_on_it_stays(disk, before, tmp_path):
    first = write(disk / "records", {"train": 6})
    before()
    code, error = finish(start_writer(WRITER, tmp_path, rows=5000, record_dir="disk/records"))
    assert code == 1
    assert "DataError" in error
    assert os.strerror(errno.ENOSPC) in error
    assert read_manifest(disk / "records").fingerprint == first.fingerprint


@pytest.mark.parametrize(("exists", "compression"), [(False, ""), (True, "GZIP")])
def test_ctrl_c_leaves_what_was_there(exists, compression, before, tmp_path):
    if exists:
        write("records", {"train": 6})
    before()
    values = {"rows": FOREVER, "record_dir": "records", "compression": compression}
    process = start_writer(WRITER, tmp_path, measured=False, **values)
    assert process.stdout.readline() == "half\n"
    process.send_signal(signal.SIGINT)
    code, error = finish(process)
    assert code == -signal.SIGINT
    assert error == "KeyboardInterrupt"
