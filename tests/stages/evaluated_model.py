"""A user's experiment that calls ``stages.train``: a dropout model on digits, evaluated twice.

``KILL_IN_EVALUATION`` in the environment kills the process at the start of that evaluation, like a
crash between a checkpoint and its figures.
"""

import os
import signal

from reproducible_ml.datasets.sources import digits
from reproducible_ml.input_fn import supervised_input_fn
from reproducible_ml.stages import serialize_stage, train
from reproducible_ml.tracking import experiment

written = experiment("write")
TYPES = {"model_dir": (str, None), "export_dir": (str, None), "max_steps": (int, None)}
ex = experiment("evaluated_model", types=TYPES)


@written.config
def written_config():
    record_dir = "data"
    record_pattern = "{}-{:05d}.tfrecord"
    samples_per_record = 1000
    compression = ""
    workers = 1
    overwrite = False


@written.main
def write(_run, _config):
    return serialize_stage(_run, _config, source=digits())


@ex.config
def config():
    seed = 1
    record_dir = "data"
    model_dir = None
    export_dir = None
    max_steps = 9
    evaluate_every_steps = 5
    log_every_steps = 4
    repeat = True


@ex.automain
def main(_run, _config, record_dir, repeat):
    import tensorflow as tf

    killed_in = int(os.environ.get("KILL_IN_EVALUATION", "0"))
    evaluations = []

    def model_fn(features, labels, mode):
        pixels = tf.reshape(features["image"], [-1, 28 * 28])
        if mode == tf.estimator.ModeKeys.TRAIN:
            pixels = tf.nn.dropout(pixels, 0.3)
        weights = tf.compat.v1.get_variable("weights", [28 * 28, 10])
        scores = tf.matmul(pixels, weights)
        if mode == tf.estimator.ModeKeys.PREDICT:
            return tf.estimator.EstimatorSpec(mode, predictions={"scores": scores})
        loss = tf.compat.v1.losses.sparse_softmax_cross_entropy(labels, scores)
        step = tf.compat.v1.train.get_global_step()
        rate = tf.compat.v1.train.exponential_decay(0.01, step, 5, 0.5)
        train_op = tf.compat.v1.train.AdamOptimizer(rate).minimize(loss, global_step=step)
        accuracy = tf.compat.v1.metrics.accuracy(labels, tf.argmax(scores, 1))
        return tf.estimator.EstimatorSpec(
            mode, loss=loss, train_op=train_op, eval_metric_ops={"accuracy": accuracy}
        )

    def data(split, **reading):
        return supervised_input_fn(
            record_dir, ["image"], "label", split=split, batch_size=100, **reading
        )

    def evaluated():
        evaluations.append(1)
        if len(evaluations) == killed_in:
            os.kill(os.getpid(), signal.SIGKILL)
        return data("eval", shuffle=False, repeat=False)()

    return train(
        _run,
        _config,
        lambda folder: tf.estimator.Estimator(model_fn, folder),
        lambda: data("train", seed=1, repeat=repeat),
        serialize=written,
        evaluate_input=evaluated,
    )
