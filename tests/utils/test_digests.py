"""Digests of arrays."""

import hashlib

import numpy as np

from reproducible_ml.utils.digests import array_digest, combined_digest, file_digest


def test_an_array_digest_is_sha256_of_type_shape_and_bytes():
    array = np.array([[1, 2, 3]], np.int16)
    expected = hashlib.sha256(b"<i2[1, 3]" + b"\x01\x00\x02\x00\x03\x00").hexdigest()
    assert array_digest(array) == expected


def test_byte_order_and_memory_layout_do_not_matter():
    array = np.arange(6, dtype="<f4").reshape(2, 3)
    assert array_digest(array.astype(">f4")) == array_digest(array)
    assert array_digest(np.asfortranarray(array)) == array_digest(array)


def test_value_type_and_shape_matter():
    array = np.zeros(4, np.float32)
    changed = array.copy()
    changed.view(np.int32)[2] ^= 1
    digests = {
        array_digest(other)
        for other in (array, changed, array.astype(np.float64), array.reshape(2, 2))
    }
    assert len(digests) == 4


def test_scalars_have_digests():
    assert array_digest(np.int64(3)) == array_digest(np.array(3))


def test_a_combined_digest_does_not_depend_on_the_order():
    assert combined_digest({"a": "1", "b": "2"}) == combined_digest({"b": "2", "a": "1"})
    assert combined_digest({"a": "1", "b": "2"}) != combined_digest({"a": "2", "b": "1"})


def test_a_file_digest_is_sha256_of_its_bytes_however_many_blocks_they_are(tmp_path):
    content = bytes(range(256)) * 5000
    (tmp_path / "file").write_bytes(content)
    assert file_digest(tmp_path / "file") == hashlib.sha256(content).hexdigest()
