"""What is held to the schema many records at once is what protobuf holds one by one."""

import random

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf.message import DecodeError

from reproducible_ml.datasets.serialize.checking.record_form import RecordForm
from reproducible_ml.datasets.serialize.encoding.examples import check_features
from reproducible_ml.handlers.schema import FeatureSchema
from reproducible_ml.utils.errors import DataError
from tests.input_fn.by_hand import bytes_list, example, float_list, int64_list

SCHEMA = {
    "image": FeatureSchema("bytes", "uint8", (3, 2), "raw"),
    "image/name": FeatureSchema("bytes", "string", (), "utf8"),
    "label": FeatureSchema("int64", "int64", (), "list"),
    "pair": FeatureSchema("int64", "int64", (2,), "list"),
    "many": FeatureSchema("int64", "int64", None, "list"),
    "point": FeatureSchema("float", "float32", (3,), "list"),
    "curve": FeatureSchema("float", "float32", None, "list"),
}


def record(draw, **others):
    """Serialize a record of the schema, with some features replaced."""
    numbers = [draw.choice([0, 1, 127, 128, 300, 2**40, -1, -(2**63)]) for _ in range(9)]
    values = {
        "image": bytes_list(draw.randbytes(6)),
        "image/name": bytes_list(draw.randbytes(draw.choice([0, 1, 100, 127, 128, 300]))),
        "label": int64_list(numbers[0]),
        "pair": int64_list(*numbers[:2]),
        "many": int64_list(*numbers[: draw.randint(1, 9)]),
        "point": float_list(0.5, -2, float("nan")),
        "curve": float_list(*range(draw.randint(1, 50))),
    }
    return example({**values, **others})


def fits(payloads, first=None):
    """Ask for many records that lie one behind the other in a buffer."""
    lengths = np.array([len(one) for one in payloads])
    starts = np.cumsum(lengths) - lengths
    form = RecordForm(first or payloads[0], SCHEMA)
    return form.fits(np.frombuffer(b"".join(payloads), np.uint8), starts, lengths).tolist()


def is_of_the_schema(payload):
    """Ask protobuf."""
    try:
        features = tf.train.Example.FromString(payload).features.feature
        check_features(dict(features), SCHEMA)
    except (DecodeError, DataError):
        return False
    return True


def test_records_of_the_schema_fit_whatever_their_lengths():
    draw = random.Random(1)
    assert all(fits([record(draw) for _ in range(300)]))


@pytest.mark.parametrize(
    "others",
    [
        {"image": bytes_list(b"12345")},
        {"image": bytes_list(b"123456", b"")},
        {"image/name": bytes_list()},
        {"image/name": bytes_list(b"a", b"b")},
        {"label": int64_list()},
        {"label": int64_list(1, 2)},
        {"label": bytes_list(b"1")},
        {"pair": int64_list(300)},
        {"pair": int64_list(1, 2, 3)},
        {"point": float_list(1, 2)},
        {"more": int64_list(1)},
        {"curve": tf.train.Feature()},
    ],
    ids=str,
)
def test_a_record_of_another_form_does_not_fit_and_its_neighbours_do(others):
    draw = random.Random(2)
    wrong = record(draw, **others)
    assert not is_of_the_schema(wrong)
    found = fits([record(draw), wrong, record(draw), wrong, record(draw)])
    assert found == [True, False, True, False, True]


def test_what_fits_after_random_damage_is_of_the_schema_for_protobuf_too():
    draw = random.Random(3)
    first = record(draw)
    damaged = []
    for _ in range(4000):
        data = bytearray(record(draw))
        for _ in range(draw.choice([1, 1, 2])):
            data[draw.randrange(len(data))] = draw.randrange(256)
        if draw.random() < 0.2:
            del data[draw.randrange(len(data)) :]
        damaged.append(bytes(data))
    damaged = [one for one in damaged if one]
    found = fits(damaged, first)
    assert [one for one, fine in zip(damaged, found) if fine and not is_of_the_schema(one)] == []
    # Most damage hits values, which any bytes may be.
    assert 500 < sum(found) < 3500


def test_a_number_without_end_does_not_fit():
    draw = random.Random(4)
    label = int64_list(2**63 - 1)
    whole = record(draw, label=label)
    place = whole.index(b"\xff" * 8 + b"\x7f")
    endless = whole[:place] + b"\xff" * 9 + whole[place + 9 :]
    assert not is_of_the_schema(endless)
    assert fits([whole, endless]) == [True, False]


def test_a_record_of_other_features_teaches_no_form():
    with pytest.raises(ValueError, match="other features"):
        RecordForm(example({"label": int64_list(3)}), SCHEMA)
