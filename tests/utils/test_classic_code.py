"""A user's classic Estimator code, the same on every line of Python and TensorFlow."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PORTED = sys.version_info >= (3, 12)

# As such scripts are written: one import of ours, before or after TensorFlow's.
CLASSIC = """
import json, sys
{imports}
import numpy as np
import tensorflow_gan as tfgan
from tensorflow.estimator import Estimator
from tensorflow.compat.v1.estimator import RunConfig
from tensorflow.keras import Model
tf.logging.set_verbosity(tf.logging.ERROR)

rows = np.random.RandomState(0).rand(64, 3).astype("float32")
labels = (rows[:, 0] > 0.5).astype("int32")
columns = [tf.feature_column.numeric_column("row", (3,))]

def read():
    return tf.data.Dataset.from_tensor_slices(({{"row": rows}}, labels)).repeat().batch(64)

def model_fn(features, labels, mode):
    logits = tf.layers.dense(features["row"], 2, name="dense")
    loss = tf.losses.sparse_softmax_cross_entropy(labels, logits)
    step = tf.train.AdamOptimizer(0.1).minimize(loss, tf.train.get_global_step())
    correct = tf.metrics.accuracy(labels, tf.argmax(logits, 1))
    return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=step,
                                      eval_metric_ops={{"accuracy": correct}})

def latents_and_rows():
    return tf.data.Dataset.from_tensors((rows[:8, :2], rows[:8])).repeat()

config = RunConfig(tf_random_seed=1)
own = Estimator(model_fn, "own", config)
linear = tf.estimator.LinearClassifier(columns, "linear", config=config)
dense = tf2.estimator.DNNClassifier(
    [16], columns, "dense", optimizer=tf2.keras.optimizers.legacy.Adam(0.05), config=config)
gan = tfgan.estimator.GANEstimator(
    "gan",
    generator_fn=lambda latents, mode: tf.layers.dense(latents, 3),
    discriminator_fn=lambda rows, latents, mode: tf.layers.dense(rows, 1),
    generator_loss_fn=tfgan.losses.wasserstein_generator_loss,
    discriminator_loss_fn=tfgan.losses.wasserstein_discriminator_loss,
    generator_optimizer=tf.train.AdamOptimizer(0.01),
    discriminator_optimizer=tf.train.AdamOptimizer(0.01),
    config=config,
)
for one in own, linear, dense:
    one.train(read, max_steps=100)
gan.train(latents_and_rows, max_steps=5)
print(json.dumps({{
    "accuracy": [float(one.evaluate(read, steps=1)["accuracy"]) for one in (own, linear, dense)],
    "of a GAN": next(gan.predict(latents_and_rows)).shape,
    "steps": int(gan.get_variable_value("global_step")),
    "Keras": [Model.__module__, tf2.keras.Model.__module__],
}}))
"""
IMPORTS = {
    "by its name of version 1": (
        "import reproducible_ml\nimport tensorflow.compat.v1 as tf\nimport tensorflow as tf2"
    ),
    "first, as sorted imports are": (
        "import tensorflow as tf2\nimport reproducible_ml\ntf = tf2.compat.v1"
    ),
}


def execute(program, folder):
    """Run a program in a fresh process; return what it printed last."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("TF_USE_LEGACY_KERAS", None)
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("imports", IMPORTS)
def test_a_classic_script_trains_estimators_of_every_kind(tmp_path, imports):
    found = json.loads(execute(CLASSIC.format(imports=IMPORTS[imports]), tmp_path))
    assert min(found["accuracy"]) > 0.8
    assert (found["of a GAN"], found["steps"]) == ([3], 5)
    keras = "tf_keras.src.engine.training" if PORTED else "keras.src.engine.training"
    assert found["Keras"] == [keras, keras]
