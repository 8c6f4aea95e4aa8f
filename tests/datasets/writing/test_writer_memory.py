"""What a writer holds in memory does not grow with what it writes."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from reproducible_ml.datasets.serialize import read_manifest
from reproducible_ml.datasets.serialize.checking.verification import verify
from reproducible_ml.datasets.serialize.encoding.encoder import Encoder
from reproducible_ml.handlers import ArrayHandler, FeatureHandler, LabelHandler, TextHandler
from tests.datasets.small_data import ROOT, start_writer, tree, write

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="memory is read from /proc"
)
START = """
import json, sys
import numpy as np
import tensorflow
from isal import isal_zlib
from reproducible_ml.handlers import ArrayHandler, TextHandler
from tests.datasets.small_data import write

def megabytes(name):
    lines = open("/proc/self/status").read().splitlines()
    return int(next(line for line in lines if line.startswith(name + ":")).split()[1]) / 1024

settings = json.loads(sys.argv[1])
"""
SHARDS = """
image = np.zeros((1000, 31), np.uint8)
found = []

def rows_gen(split):
    for shard in range(80):
        for _ in range(30):
            yield {"x": image}
        found.append(megabytes("VmRSS"))

write("data", {"train": 30 * 80}, 30, keys_to_handlers={"x": ArrayHandler()}, rows_gen=rows_gen,
      compression=settings["compression"])
print(json.dumps(found))
"""
TEXTS = """
def rows_gen(split):
    for number in range(settings["short"]):
        yield {"x": "x" * 10}
    for number in range(2500):
        yield {"x": chr(97 + number % 26) * (60_000 + number % 7)}

before = megabytes("VmHWM")
write("data", {"train": settings["short"] + 2500}, 5000, keys_to_handlers={"x": TextHandler()},
      rows_gen=rows_gen)
print(json.dumps(megabytes("VmHWM") - before))
"""


def run(program, tmp_path, **values):
    process = start_writer(START + program, tmp_path, **values)
    output, error = process.communicate(timeout=240)
    assert process.returncode == 0, error
    return json.loads(output)


@pytest.mark.parametrize("compression", ["GZIP", "ZLIB"])
def test_compressed_shards_that_are_closed_take_no_memory(compression, tmp_path):
    """Each leaves 0.9 MB to compress when it is closed."""
    found = run(SHARDS, tmp_path, compression=compression)
    assert max(found[10:]) - found[10] < 25


# Without bounds a block would be of all 2,500 long texts: 150 MB, several times over.
@pytest.mark.parametrize(("short", "most"), [(0, 60), (1, 60), (3000, 160)])
def test_texts_that_are_longer_than_the_first_ones_take_no_block_of_memory(short, most, tmp_path):
    assert run(TEXTS, tmp_path, short=short) < most


def test_the_number_of_rows_in_a_block_follows_the_length_of_its_records():
    encoder = Encoder({"x": TextHandler()})
    sizes = []
    for length in (10, 10, 10, 10, 10, 10, 10, 200_000, 200_000, 10, 10):
        sizes.append(encoder.block_rows)
        encoder.encode([{"x": "x" * length}] * encoder.block_rows, "shard", 0)
    # One for the form, a few, at most twice as many each time; a megabyte of long ones is five.
    assert sizes == [1, 32, 64, 128, 256, 512, 512, 512, 5, 5, 10]


def test_records_of_one_length_are_taken_by_the_megabyte_from_the_start():
    encoder = Encoder({"x": ArrayHandler(), "y": LabelHandler()})
    rows = [{"x": np.zeros((28, 28), np.uint8), "y": 1}]
    encoder.encode(rows, "shard", 0)
    assert 1200 < encoder.block_rows < 2**20 // 784


@pytest.mark.parametrize("compression", ["", "GZIP"])
def test_texts_of_any_length_have_the_bytes_of_one_by_one(compression, tmp_path):
    class OneByOne(TextHandler):
        """Without the batch method that it inherits."""

        def handle(self, row, key):
            return super().handle(row, key)

    draw = np.random.default_rng(5)
    texts = ["ä" * int(length) for length in draw.choice([0, 1, 3, 200, 3000, 90_000], 900)]
    for name, handler in (("blocks", TextHandler()), ("loop", OneByOne())):
        write(
            name,
            {"train": len(texts)},
            400,
            keys_to_handlers={"x": handler},
            rows_gen=lambda split: ({"x": text} for text in texts),
            compression=compression,
        )
    shards = [
        {k: v for k, v in tree(tmp_path / n).items() if "json" not in k} for n in ("blocks", "loop")
    ]
    assert shards[0] == shards[1]
    assert len(shards[0]) == 3


class Alone(FeatureHandler):
    """Fails where joblib has put arrays into a file for its workers to share."""

    def handle(self, row, key):
        shared = [str(path) for path in Path(os.environ["JOBLIB_TEMP_FOLDER"]).rglob("*.pkl")]
        assert not shared, shared
        return ArrayHandler((1000, 1000), "uint8").handle(row, key)


def test_workers_get_the_rows_of_their_shards_without_shared_memory(tmp_path, monkeypatch):
    (tmp_path / "shared").mkdir()
    monkeypatch.setenv("JOBLIB_TEMP_FOLDER", str(tmp_path / "shared"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    images = np.zeros((16, 1000, 1000), np.uint8)
    write(
        "data",
        {"train": 16},
        4,
        keys_to_handlers={"x": Alone()},
        rows_gen=lambda split: {"x": images},
        workers=2,
    )
    assert verify("data") == []
    assert read_manifest("data").splits["train"].records == 16
