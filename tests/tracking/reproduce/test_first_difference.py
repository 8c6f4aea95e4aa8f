"""The first difference between files, arrays, results and the libraries below them, in words."""

import io
import zipfile

import numpy as np
import pytest

from reproducible_ml.tracking.reproduce.environments import (
    hash_seed_remark,
    library_differences,
    other_tensorflow,
)
from reproducible_ml.tracking.reproduce.first_difference import in_arrays, in_bytes, in_results
from reproducible_ml.tracking.reproduce.process import process_environment

LONG = bytes(range(200))


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        (LONG, LONG, ""),
        (LONG, LONG[:7] + b"\xff" + LONG[8:], "first at byte 7: 0x07 / 0xff"),
        (LONG, b"\x01", "first at byte 0: 0x00 / 0x01; 200 / 1 byte"),
        (LONG[:3], LONG, "equal up to byte 3, where one ends: 3 / 200 bytes"),
        (b"", LONG, "equal up to byte 0, where one ends: 0 / 200 bytes"),
    ],
)
def test_of_files_the_first_byte_is_named(a, b, said):
    assert in_bytes(a, b) == said


def kept(*arrays):
    """Return entries and artifact as ``finish`` records them."""
    file = io.BytesIO()
    np.savez(file, **{str(number): array for number, array in enumerate(arrays)})
    entries = [
        {"dtype": array.dtype.str, "shape": list(array.shape), "kept": str(number)}
        for number, array in enumerate(arrays)
    ]
    return entries, {"digested-arrays.npz": file.getvalue()}


def compared(a, b):
    (one,), files_a = kept(np.asarray(a))
    (other,), files_b = kept(np.asarray(b))
    return in_arrays(one, other, files_a, files_b)


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        (np.eye(2), [[1.0, 0.0], [0.25, 1.0]], "first at [1, 0]: 0.0 / 0.25; 1 of 4 elements"),
        # Equal as numbers, and not bit for bit.
        ([0.0, 1.0], [-0.0, 1.0], "first at [0]: 0.0 / -0.0; 1 of 2 elements"),
        ([np.nan], [np.nan], ""),
        (3, 4, "first a single number: 3 / 4; 1 of 1 element"),
        (["ab", "c"], ["ab", "d"], "first at [1]: 'c' / 'd'; 1 of 2 elements"),
        (np.zeros(3), np.zeros((3, 1)), "float64 [3] / float64 [3, 1]"),
        (np.zeros(3, "f4"), np.zeros(3), "float32 [3] / float64 [3]"),
        (np.zeros((0, 2)), np.zeros((0, 2)), ""),
    ],
)
def test_of_arrays_the_first_element_is_named(a, b, said):
    assert compared(a, b) == said


def test_an_array_that_is_not_kept_or_damaged_or_pickled_has_no_first_element():
    (entry,), files = kept(np.zeros(3))
    assert in_arrays({**entry, "kept": None}, entry, files, files) == ""
    assert in_arrays(entry, entry, {}, files) == ""
    pickled = io.BytesIO()
    np.savez(pickled, **{"0": np.array([{}, {}, {}])})
    huge = io.BytesIO()
    with (
        zipfile.ZipFile(huge, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("0.npy", "w", force_zip64=True) as file,
    ):
        for _ in range(257):
            file.write(bytes(1 << 20))
    packed = io.BytesIO()
    np.savez_compressed(packed, **{"0": np.arange(1000.0)})
    garbled, locked = bytearray(packed.getvalue()), bytearray(packed.getvalue())
    garbled[60:90] = bytes(range(30))
    # The bit of the central directory that asks for a password.
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    contents = [b"damaged", pickled.getvalue(), huge.getvalue(), bytes(garbled), bytes(locked)]
    for content in contents:
        assert in_arrays(entry, entry, {"digested-arrays.npz": content}, files) == ""


def test_of_results_each_entry_that_differs_is_named():
    a = {"loss": 0.1, "same": 1, "by": {"x,y": 2}, "gone": None}
    b = {"loss": 0.1, "same": 1, "by": {"x.y": 2}}
    assert list(in_results(a, b)) == []
    found = dict(in_results(a, {**b, "loss": 0.1 + 1e-16, "new": "z"}))
    assert list(found) == ["result.loss", "result.new"]
    assert found["result.loss"] == f"0.1 / {0.1 + 1e-16!r}"
    assert list(in_results([1, 2], [1, 3])) == [("result", "[1, 2] / [1, 3]")]
    assert dict(in_results(float("nan"), float("nan"))) == {}


def test_a_rerun_has_the_recorded_hash_seed_or_none(monkeypatch):
    monkeypatch.setenv("PYTHONHASHSEED", "5")
    assert process_environment({"PYTHONHASHSEED": "0"})["PYTHONHASHSEED"] == "0"
    assert "PYTHONHASHSEED" not in process_environment({})


def test_another_kernel_and_a_random_hash_seed_are_named():
    recorded = {"threads": {"pools": {"libblas": "openblas 1, Zen, threads: 2"}}, "variables": {}}
    again = {"threads": {"pools": {"libblas": "openblas 1, Haswell, threads: 2"}}, "variables": {}}
    (one,) = library_differences(recorded, again)
    assert one.describe().startswith(
        "threads.pools.libblas: recorded openblas 1, Zen, threads: 2, now openblas 1, Haswell"
    )
    # A run of an earlier version recorded none.
    assert library_differences({"threads": {}}, again) == []
    assert hash_seed_remark(recorded, again).startswith("PYTHONHASHSEED was set in neither run: ")
    fixed = {"variables": {"PYTHONHASHSEED": "0"}}
    assert hash_seed_remark(fixed, fixed) == ""
    assert "was set as 0 / random: " in hash_seed_remark(fixed, again)


def test_a_run_of_another_tensorflow_says_what_to_expect():
    def of(tensorflow, python):
        return {"tensorflow": {"version": tensorflow}, "python": {"version": python}}

    old, new, newest = of("2.15.1", "3.11.7"), of("2.19.1", "3.12.1"), of("2.21.0", "3.13.0")
    without, usual = {"onednn": False}, {"onednn": True}
    said = other_tensorflow(old, new, without)
    assert said.startswith("Recorded on TensorFlow 2.15.1 (Python 3.11.7), executed on 2.19.1: ")
    assert "expect 'identical'" in said
    for recorded, now, config in ((old, new, usual), (new, newest, without), (newest, old, usual)):
        assert "expect 'differs'" in other_tensorflow(recorded, now, config)
    assert other_tensorflow(old, of("2.15.0", "3.10.13"), usual) == ""
    assert other_tensorflow(old, new, {"seed": 1}) == ""
    assert other_tensorflow({"python": {"version": "3.11.7"}}, new, usual) == ""
