"""A user's experiment: his Estimator, his data, no line for its record.

``KILL_AT`` in the environment lets a training end like a crash, at that step of its process.
"""

import os
import signal

from reproducible_ml.tracking import experiment

ex = experiment("own_models", types={"csv_file": (str, None), "first_weights": (str, None)})


@ex.config
def config():
    seed = 1
    kind = "dropout"
    model_dir = "model"
    record_dir = "records"
    csv_file = None
    first_weights = None
    sign = 1.0
    batch_size = 8
    max_steps = 20
    join = True


@ex.named_config
def table():
    kind = "linear"
    csv_file = "people.csv"


@ex.automain
def main(kind, model_dir, record_dir, csv_file, first_weights, sign, batch_size, max_steps, join):
    import numpy as np
    import tensorflow as tf

    class Crash(tf.estimator.SessionRunHook):
        left = int(os.environ.get("KILL_AT", "0"))

        def after_run(self, run_context, run_values):
            self.left -= 1
            if not self.left:
                os.kill(os.getpid(), signal.SIGKILL)

    draw = np.random.RandomState(0)
    points = draw.randn(100, 4).astype(np.float32)
    labels = (points[:, 0] > 0).astype(np.int32)
    columns = [tf.feature_column.numeric_column("x", [4])]
    together = tf.distribute.MultiWorkerMirroredStrategy() if kind == "workers" else None
    run_config = tf.estimator.RunConfig(
        model_dir=model_dir, save_checkpoints_steps=6, train_distribute=together
    )

    def own_data():
        data = tf.data.Dataset.from_tensor_slices(({"x": points}, labels))
        return data.shuffle(50).repeat().batch(batch_size)

    def table():
        types = [tf.float32, tf.float32, tf.int32]
        data = tf.data.experimental.CsvDataset(csv_file, types, header=True)
        named = data.map(lambda age, income, label: ({"age": age, "income": income}, label))
        return named.shuffle(20).repeat().batch(batch_size)

    def latents_and_points():
        data = tf.data.Dataset.from_tensor_slices(points).shuffle(50).repeat()
        return data.batch(batch_size).map(lambda real: (tf.random.normal([batch_size, 3]), real))

    def model_fn(features, labels, mode):
        layer = tf.compat.v1.layers.dense(features["x"], 8, tf.nn.relu)
        layer = tf.compat.v1.layers.dense(tf.nn.dropout(layer, 0.4), 2)
        loss = sign * tf.compat.v1.losses.sparse_softmax_cross_entropy(labels, layer)
        step = tf.compat.v1.train.get_global_step()
        rate = tf.compat.v1.train.exponential_decay(0.1, step, 5, 0.9)
        train_op = tf.compat.v1.train.AdamOptimizer(rate).minimize(loss, global_step=step)
        return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)

    def generator_fn(latents):
        layer = tf.compat.v1.layers.dense(latents, 8, tf.nn.relu)
        return tf.compat.v1.layers.dense(tf.nn.dropout(layer, 0.2), 4)

    def critic_fn(points, latents):
        return tf.compat.v1.layers.dense(tf.compat.v1.layers.dense(points, 8, tf.nn.relu), 1)

    input_fn = own_data
    if kind == "dropout":
        estimator = tf.estimator.Estimator(
            model_fn, config=run_config, warm_start_from=first_weights
        )
    elif kind == "canned":
        estimator = tf.estimator.DNNClassifier([8], columns, dropout=0.3, config=run_config)
    elif kind in ("devices", "workers"):
        from reproducible_ml.input_fn import supervised_input_fn

        if kind == "devices":
            strategy = tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])
            two = tf.compat.v1.ConfigProto(device_count={"CPU": 2})
            run_config = run_config.replace(train_distribute=strategy, session_config=two)
        keys = ("age", "income")
        columns = [tf.feature_column.numeric_column(key) for key in keys]
        estimator = tf.estimator.DNNClassifier([8], columns, dropout=0.3, config=run_config)
        input_fn = supervised_input_fn(record_dir, keys, "label", batch_size=batch_size, seed=1)
    elif kind == "linear":
        columns = [tf.feature_column.numeric_column(key) for key in ("age", "income")]
        estimator = tf.estimator.LinearClassifier(columns, config=run_config)
        input_fn = table
    elif kind == "keras":
        layers = tf.keras.layers
        model = tf.keras.Sequential(
            [
                layers.Input((4,), name="x"),
                layers.Dense(8, "relu"),
                layers.Dropout(0.3),
                layers.Dense(1),
            ]
        )
        model.compile(tf.keras.optimizers.legacy.Adam(), "mse")
        labels = labels.astype(np.float32)[:, None]
        estimator = tf.keras.estimator.model_to_estimator(model, config=run_config)
    else:
        import tensorflow_gan as tfgan

        from reproducible_ml.models import GANEstimator

        estimator = {"stock": tfgan.estimator.GANEstimator, "fused": GANEstimator}[kind](
            generator_fn=generator_fn,
            discriminator_fn=critic_fn,
            generator_loss_fn=tfgan.losses.wasserstein_generator_loss,
            discriminator_loss_fn=tfgan.losses.wasserstein_discriminator_loss,
            generator_optimizer=tf.compat.v1.train.RMSPropOptimizer(0.01),
            discriminator_optimizer=tf.compat.v1.train.RMSPropOptimizer(0.01),
            config=run_config,
        )
        input_fn = latents_and_points
    if kind == "workers" and join:
        tf.estimator.train_and_evaluate(
            estimator,
            tf.estimator.TrainSpec(input_fn, max_steps=max_steps, hooks=[Crash()]),
            tf.estimator.EvalSpec(input_fn, steps=1),
        )
    else:
        estimator.train(input_fn, max_steps=max_steps, hooks=[Crash()])
