"""A trained Estimator of one's own becomes a SavedModel that says what it came from."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from reproducible_ml.models.export import export_estimator
from reproducible_ml.utils.errors import ConfigError, DataError
from tests.stages.test_train_stage import read, run
from tests.tracking import toy_project

ROWS = np.random.RandomState(0).randn(40, 3).astype(np.float32)


def test_a_run_exports_its_model_and_a_second_execution_predicts_the_same(tmp_path):
    shutil.copy(Path(__file__).with_name("evaluated_model.py"), tmp_path)
    settings = ("max_steps=3", "export_dir=exported")
    code, printed = run(tmp_path, *settings)
    assert code == 0, printed
    assert "Export:      exported" in printed
    weights = tf.train.load_checkpoint(str(tmp_path / "model")).get_tensor("weights")
    images = np.random.RandomState(1).uniform(-1, 1, (5, 28, 28, 1)).astype(np.float32)
    serve = tf.saved_model.load(str(tmp_path / "exported")).signatures["serving_default"]
    found = serve(image=tf.constant(images))["scores"].numpy()
    np.testing.assert_allclose(found, images.reshape(5, -1) @ weights, rtol=1e-4, atol=1e-5)
    origin = json.loads((tmp_path / "exported" / "provenance.json").read_text())
    info = read(tmp_path, 1, "info.json")
    assert origin["run"]["id"] == 1
    assert origin["predictions"]["digest"] == info["digest"]["predictions"]
    assert origin["data_fingerprint"] == info["dataset"]["records"]["fingerprint"]
    assert origin["signature"]["inputs"] == {
        "image": {"dtype": "float32", "shape": ["n", 28, 28, 1]}
    }
    assert origin["checkpoint"]["step"] == 3
    index = (tmp_path / "model" / "model.ckpt-3.index").read_bytes()
    recorded = origin["checkpoint"]["files"]["model.ckpt-3.index"]["sha256"]
    assert recorded == hashlib.sha256(index).hexdigest()
    assert not list(tmp_path.glob(".exported*"))
    # The same training may export again; nothing else may be replaced.
    code, printed = run(tmp_path, *settings)
    assert code == 0, printed
    code, printed = run(tmp_path, "max_steps=3", "export_dir=data")
    assert code == 1
    assert "data holds files but no export" in printed
    code, printed = toy_project.command(["reproduce", "1"], tmp_path)
    assert code == 0, printed
    (row,) = [line.split() for line in printed.splitlines() if line.startswith("predictions")]
    assert row[-1] == "same"


def data():
    """Rows with labels: one feature of numbers, one of text."""
    text = np.where(ROWS[:, 0] > 0, "yes", "no")
    features = {"x": ROWS, "word": text}
    return tf.data.Dataset.from_tensor_slices((features, (ROWS[:, 0] > 0).astype(int))).batch(8)


def test_a_canned_estimator_predicts_text_and_numbers_through_its_export(tmp_path):
    columns = [
        tf.feature_column.numeric_column("x", [3]),
        tf.feature_column.categorical_column_with_vocabulary_list("word", ["yes", "no"]),
    ]
    estimator = tf.estimator.LinearClassifier(
        columns, "model", label_vocabulary=None, config=tf.estimator.RunConfig(tf_random_seed=1)
    )
    estimator.train(data, max_steps=2)
    done = export_estimator(estimator, data, "exported")
    assert (done.step, done.same_as_run) == (2, None)
    wanted = list(estimator.predict(data))
    serve = tf.saved_model.load("exported").signatures["predict"]
    words = np.where(ROWS[:, 0] > 0, b"yes", b"no")
    found = serve(x=tf.constant(ROWS), word=tf.constant(words))
    for name in ("logits", "class_ids", "classes"):
        rows = np.stack([one[name] for one in wanted])
        if rows.dtype == object:
            assert found[name].numpy().tolist() == rows.tolist()
        else:
            np.testing.assert_allclose(found[name].numpy(), rows, rtol=1e-5, atol=1e-6)
    with pytest.raises(ConfigError, match=r"already holds an export\. Replace it with --overwrite"):
        export_estimator(estimator, data, "exported")
    export_estimator(estimator, data, "exported", step=0, overwrite=True)
    assert json.loads(Path("exported/provenance.json").read_text())["checkpoint"]["step"] == 0
    with pytest.raises(DataError, match="no checkpoint of step 7, only of 0, 2"):
        export_estimator(estimator, data, "other", step=7)


def single():
    """Rows without labels, as one tensor."""
    return tf.data.Dataset.from_tensor_slices(ROWS).batch(8)


def doubled(features, labels, mode):
    """Return the features doubled; it trains nothing."""
    factor = tf.compat.v1.get_variable("factor", [], initializer=tf.zeros_initializer())
    step = tf.compat.v1.train.get_global_step()
    train_op = tf.group(factor.assign(2.0), tf.compat.v1.assign_add(step, 1))
    loss = tf.reduce_mean(features)
    return tf.estimator.EstimatorSpec(
        mode, predictions=features * factor, loss=loss, train_op=train_op
    )


def test_a_single_tensor_is_taken_as_features_and_a_receiver_of_ones_own_is_used():
    estimator = tf.estimator.Estimator(doubled, "model")
    estimator.train(single, max_steps=1)
    export_estimator(estimator, single, "exported")
    serve = tf.saved_model.load("exported").signatures["serving_default"]
    np.testing.assert_array_equal(
        serve(features=tf.constant(ROWS))["output"].numpy(), ROWS * np.float32(2)
    )

    def receive():
        rows = tf.compat.v1.placeholder(tf.float32, [None, 3], "rows")
        return tf.estimator.export.TensorServingInputReceiver(rows, {"rows": rows})

    with pytest.raises(ConfigError, match="No signature of the SavedModel takes these features"):
        export_estimator(estimator, single, "own", serving_input_receiver_fn=receive)
    assert not Path("own").exists()


def test_what_cannot_be_exported_is_one_sentence_and_leaves_nothing():
    def needs_labels(features, labels, mode):
        return doubled(features + tf.cast(labels, tf.float32), labels, mode)

    def labelled():
        return tf.data.Dataset.zip((single(), tf.data.Dataset.range(40).batch(1)))

    estimator = tf.estimator.Estimator(needs_labels, "model")
    estimator.train(labelled, max_steps=1)
    with pytest.raises(ConfigError, match=r"The model_fn builds no predictions \(ValueError"):
        export_estimator(estimator, labelled, "exported")
    estimator = tf.estimator.Estimator(doubled, "model")
    with pytest.raises(DataError, match="no data to predict"):
        export_estimator(estimator, lambda: single().take(0), "exported")

    def sparse():
        return tf.data.Dataset.from_tensors({"x": tf.sparse.eye(3)})

    with pytest.raises(ConfigError, match="Feature 'x' is a SparseTensor"):
        export_estimator(estimator, sparse, "exported")
    assert [path.name for path in Path().iterdir()] == ["model"]
