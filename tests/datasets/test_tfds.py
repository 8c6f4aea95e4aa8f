"""Data sets of TensorFlow Datasets on the disk as a source."""

import sys
from pathlib import Path

import numpy as np
import pytest

from reproducible_ml.datasets.serialize import serialize_source
from reproducible_ml.datasets.serialize.checking import repair
from reproducible_ml.datasets.sources import is_name_of, make_source
from reproducible_ml.input_fn import supervised_input_fn
from reproducible_ml.utils.errors import ConfigError, DataError
from tests import warm
from tests.experiments.running import environment

READS = """
from experiments import mnist_serialize
from reproducible_ml.stages.parts import need_data
from reproducible_ml.tracking import experiment

ex = experiment("reads", types={"tfds_dir": (str, None)})


@ex.config
def config():
    source = "digits"
    tfds_dir = None
    record_dir = "data/digits"


@ex.automain
def main(_run, _config):
    return sum(one.records for one in need_data(_run, _config, mnist_serialize.ex).splits.values())
"""

# What TFDS and its dependencies warn of is not this project's to mend.
pytestmark = pytest.mark.filterwarnings("default")


def rows(first, count):
    return [
        {
            "image": np.full((4, 5, 3), n, np.uint8),
            "label": n % 3,
            "text": f"row {n}",
            "size": np.float32(n / 4),
            "words": list(range(n % 3)),
        }
        for n in range(first, first + count)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    tfds = pytest.importorskip("tensorflow_datasets", reason="the extra tfds is not installed")
    place = tmp_path_factory.mktemp("tfds")
    features = {
        "image": tfds.features.Image(shape=(4, 5, 3)),
        "label": tfds.features.ClassLabel(num_classes=3),
        "text": tfds.features.Text(),
        "size": np.float32,
        "words": tfds.features.Sequence(np.int64),
    }
    tfds.dataset_builders.store_as_tfds_dataset(
        name="mine",
        version="1.0.0",
        data_dir=place,
        features=tfds.features.FeaturesDict(features),
        split_datasets={"train": enumerate(rows(0, 12)), "validation": enumerate(rows(50, 4))},
    )
    return place / "mine" / "1.0.0"


def test_every_row_is_written_as_it_is_and_repaired(folder):
    source = make_source("tfds", tfds_dir=str(folder))
    assert source.split_to_size == {"train": 12, "eval": 4}
    assert source.arguments["tfds_dir"] == str(folder)
    serialize_source(source, "data", samples_per_record=5)
    keys = ["image", "size", "text", "words"]
    fn = supervised_input_fn("data", keys, "label", batch_size=12, shuffle=False)
    features, labels = next(iter(fn()))
    # TFDS orders rows by a hash of their keys.
    order = [int(text.split()[1]) for text in features["text"].numpy().astype(str)]
    assert sorted(order) == list(range(12))
    np.testing.assert_array_equal(labels, np.array(order) % 3)
    np.testing.assert_array_equal(features["size"], np.array(order, np.float32) / 4)
    np.testing.assert_array_equal(features["words_length"], np.array(order) % 3)
    pixels = np.rint((features["image"].numpy() + 1) * 127.5)
    np.testing.assert_array_equal(pixels[:, 2, 3, 1], order)
    # The last shard's rows alone, from the middle of the split.
    shard = Path("data/train-00002.tfrecord")
    before = shard.read_bytes()
    shard.unlink()
    assert repair("data") == [shard.name]
    assert shard.read_bytes() == before
    digest = source.digest()
    (folder / "more").write_text("")
    assert source.digest() != digest
    (folder / "more").unlink()


def test_a_data_set_is_chosen_by_its_name_as_tfds_writes_it(folder, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(folder.parents[1]))
    for name in ("tfds:mine", "tfds:mine:1.0.0"):
        source = make_source(name, feature_keys=["label"])
        assert source.describe()["name"] == "tfds"
        assert source.arguments == {"tfds_dir": str(folder), "feature_keys": ["label"]}
        assert is_name_of(name, source.describe())
    assert not is_name_of("tfds:mine:2.0.0", source.describe())
    assert not is_name_of("tfds:1.0.0", source.describe())
    with pytest.raises(DataError, match=f"{folder.parents[1]} holds no prepared data set 'other'"):
        make_source("tfds:other")


def test_a_stage_writes_the_data_set_that_is_named_and_then_does_without(folder, tmp_path):
    (tmp_path / "reads.py").write_text(READS, encoding="utf-8")

    def read(*settings, data_dir=folder.parents[1]):
        variables = environment(TFDS_DATA_DIR=str(data_dir))
        done = warm.run("-m", "reads", "with", *settings, cwd=tmp_path, environment=variables)
        return done.returncode, done.stdout + done.stderr

    code, output = read("source=tfds:mine")
    assert code == 1
    assert "for source=tfds:mine too, for example record_dir=data/tfds-mine." in output
    code, output = read("source=tfds:mine", "record_dir=data/tfds-mine")
    assert code == 0, output
    assert "Result: 16" in output
    code, output = read("source=tfds:mine", "record_dir=data/tfds-mine", data_dir=tmp_path)
    assert code == 0, output
    code, output = read("source=tfds:other", "record_dir=data/tfds-mine", data_dir=tmp_path)
    assert code == 1
    assert "was written from tfds (" in output
    assert "not with source=tfds:other" in output
    code, output = read("source=tfds:mine", f"tfds_dir={folder}", "record_dir=data/more")
    assert code == 1
    assert "source=tfds:mine takes no tfds_dir" in output


def test_what_cannot_be_read_is_named(folder):
    with pytest.raises(DataError, match="source=tfds needs a folder"):
        make_source("tfds")
    with pytest.raises(DataError, match="Name the folder of one version"):
        make_source("tfds", tfds_dir=str(folder.parent))
    with pytest.raises(ConfigError, match="no feature 'age'; it has image, label, size, text"):
        make_source("tfds", tfds_dir=str(folder), feature_keys=["age"])
    source = make_source("tfds", tfds_dir=str(folder), feature_keys=["label"])
    assert list(source.keys_to_handlers) == ["label"]
    assert next(iter(source.rows_gen("eval")[1:2])).keys() == {"label"}


def test_without_tfds_there_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ConfigError, match=r"pip install 'reproducible-ml\[tfds\]'"):
        make_source("tfds", tfds_dir="mnist")
