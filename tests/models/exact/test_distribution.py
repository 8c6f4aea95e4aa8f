"""Training on several replicas: devices of one machine, and processes of a cluster on localhost."""

import json
import os
import signal
import socket
import time
from pathlib import Path

import numpy as np
import pytest

from reproducible_ml.models import GANSettings
from reproducible_ml.models.exact.distribution import (
    is_follower,
    open_strategy,
    read_task,
    refuse_cluster,
)
from reproducible_ml.models.exact.identity import wait_for_identity
from reproducible_ml.models.gan.build import make_gan_estimator
from reproducible_ml.utils.errors import ConfigError
from tests import warm
from tests.models.labelled import write_labelled_records

ROOT = Path(__file__).parents[3]
WORKERS = '{"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": %d}}'

TRAIN = """
import json, sys
from reproducible_ml.models import Cadence, GANSettings, train_gan
from reproducible_ml.models.gan.training import follow_training
from reproducible_ml.models.exact.distribution import is_follower
records, model_dir, settings, steps = json.loads(sys.argv[1])
settings = GANSettings(batch_size=4, noise_dims=6, seed=3, **settings)
if is_follower(settings.strategy):
    follow_training(records, model_dir, settings, steps, wait_seconds=30)
else:
    cadence = Cadence(steps, 1, steps, 2, 1)
    print(json.dumps(train_gan(records, model_dir, settings, cadence).digests))
"""

# The same, with the project's own errors in one line.
TRAIN_OR_SAY = f"""
from reproducible_ml.utils.errors import ReproducibleMLError
try:
    exec({TRAIN!r})
except ReproducibleMLError as error:
    print(type(error).__name__, error, sep=": ", flush=True)
    sys.exit(1)
"""

STEP = """
import json, sys
import numpy as np
import tensorflow as tf
from reproducible_ml.input_fn import input_fn
from reproducible_ml.models import Determinism, GANEstimator, apply_determinism
from reproducible_ml.models.exact.distribution import open_strategy
from reproducible_ml.models.gan.tf_gan import tfgan

records, model_dir, replicas = json.loads(sys.argv[1])
apply_determinism(Determinism(), 1)

def dense(values, name, size):
    def start(shape, dtype, partition_info=None):
        return tf.reshape(tf.sin(tf.range(int(np.prod(shape)), dtype=dtype)) / 5, shape)
    weight = tf.compat.v1.get_variable(name, [int(values.shape[-1]), size], initializer=start)
    return tf.matmul(values, weight)

def generator(latents, mode):
    return tf.reshape(tf.tanh(dense(latents, "g", 100)), [-1, 10, 10, 1])

def critic(images, conditioning):
    return dense(tf.nn.relu(dense(tf.reshape(images, [-1, 100]), "c", 8)), "d", 1)

strategy = open_strategy("mirrored" if replicas else None, replicas)
config = tf.estimator.RunConfig(
    model_dir, train_distribute=strategy, tf_random_seed=1, log_step_count_steps=None,
    session_config=tf.compat.v1.ConfigProto(device_count={"CPU": max(1, replicas)}))
estimator = GANEstimator(
    model_dir, generator, critic, tfgan.losses.wasserstein_generator_loss,
    tfgan.losses.wasserstein_discriminator_loss,
    tf.compat.v1.train.AdamOptimizer(1e-2), tf.compat.v1.train.GradientDescentOptimizer(1e-1),
    critic_steps=2, critic_weight_clip=0.1, config=config)
common = dict(batch_size=4, noise_dims=6, seed=3, critic_steps=2)

def both_workers():
    parts = [input_fn(records, num_workers=2, worker_index=w, **common)() for w in (0, 1)]
    # (latents, images) of worker 0 and of worker 1, joined along the batch.
    return tf.data.Dataset.zip(tuple(parts)).map(
        lambda a, b: (tf.concat([a[0], b[0]], 1), tf.concat([a[1], b[1]], 1)))

read = input_fn(records, **common) if replicas else both_workers
if not replicas:
    read.critic_steps = 2
estimator.train(read, max_steps=3)
names = ["Generator/g", "Discriminator/c", "Discriminator/d"]
print(json.dumps({name: estimator.get_variable_value(name).tolist() for name in names}))
"""


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return str(write_labelled_records(tmp_path_factory.mktemp("data") / "labelled"))


def start(program, *values, cluster=None, index=0):
    """Start a Python process, warm; ``cluster`` are its workers' ports."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    if cluster is not None:
        workers = {"worker": [f"127.0.0.1:{port}" for port in cluster]}
        task = {"cluster": workers, "task": {"type": "worker", "index": index}}
        environment["TF_CONFIG"] = json.dumps(task)
    return warm.Python("-c", program, json.dumps(values), environment=environment)


def result(process):
    """Wait for a process and read the JSON that it printed last."""
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors[-3000:]
    return json.loads(output.splitlines()[-1]) if output.strip() else None


def free_ports(count):
    """Find ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def cluster_digests(records, model_dir, settings, steps):
    """Train with two workers; return the chief's digests."""
    settings = {**settings, "strategy": "multi_worker", "replicas": 2}
    ports = free_ports(2)
    workers = [
        start(TRAIN, records, str(model_dir), settings, steps, cluster=ports, index=index)
        for index in (0, 1)
    ]
    digests, nothing = [result(worker) for worker in workers]
    assert nothing is None
    return digests


def mirrored_digests(records, model_dir, settings, steps):
    """Train with two devices of this machine; return the digests."""
    settings = {**settings, "strategy": "mirrored", "replicas": 2}
    return result(start(TRAIN, records, str(model_dir), settings, steps))


def test_an_update_of_two_replicas_is_that_of_their_joined_batches(tmp_path, records):
    # No batch norm, so that only the sums' order differs: a mean of two means against one mean.
    joined, shared = (
        result(start(STEP, records, str(tmp_path / str(replicas)), replicas)) for replicas in (0, 2)
    )
    for name in joined:
        np.testing.assert_allclose(shared[name], joined[name], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_devices_and_workers_give_the_same_bits_and_so_does_a_resume(tmp_path, records):
    # Batch norm, labels and two critic updates.
    settings = {"gan_type": "acgan", "critic_steps": 2}
    whole = mirrored_digests(records, tmp_path / "mirrored", settings, 4)
    assert cluster_digests(records, tmp_path / "cluster", settings, 2) != whole
    assert cluster_digests(records, tmp_path / "cluster", settings, 4) == whole


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("gan_type", "compute_dtype"),
    # acgan's is above.
    [("wgan", "float32"), ("hinge", "float32"), ("wgan_gp", "bfloat16")],
)
def test_every_kind_of_update_repeats_on_devices_and_workers(
    tmp_path, records, gan_type, compute_dtype
):
    settings = {"gan_type": gan_type, "compute_dtype": compute_dtype, "critic_steps": 1}
    devices = mirrored_digests(records, tmp_path / "devices", settings, 3)
    assert devices == cluster_digests(records, tmp_path / "workers", settings, 3)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_workers_continue_to_the_same_bits(tmp_path, records):
    # Networks with dropout and noise: each worker draws what its device draws.
    settings = {"critic_steps": 1, "networks": "tests.models.dropout_networks"}
    whole = mirrored_digests(records, tmp_path / "mirrored", settings, 30)
    named = {**settings, "strategy": "multi_worker", "replicas": 2}
    ports, folder = free_ports(2), tmp_path / "cluster"
    workers = [
        start(TRAIN, records, str(folder), named, 30, cluster=ports, index=index)
        for index in (0, 1)
    ]
    until = time.monotonic() + 240
    while not list(folder.glob("model.ckpt-[1-9]*.index")) and time.monotonic() < until:
        time.sleep(0.05)
    chief, follower = workers
    follower.send_signal(signal.SIGKILL)
    follower.communicate()
    # A new session would continue from the last checkpoint and repeat steps that are logged.
    said = "".join(chief.communicate(timeout=240))
    assert chief.returncode == 1
    assert "Another worker of the cluster is gone, so this one stops" in said
    assert cluster_digests(records, folder, settings, 30) == whole


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strategy": "mirorred"}, "strategy is 'mirorred', expected None, 'mirrored'"),
        ({"replicas": 2}, "replicas is 2 with strategy=None"),
        ({"strategy": "mirrored", "replicas": 0}, "replicas is 0"),
        ({"strategy": "multi_worker"}, "replicas=1; give the number of workers"),
    ],
)
def test_settings_that_can_not_be_distributed_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        GANSettings(**settings)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "needs the environment variable TF_CONFIG"),
        ("{", "can't be read"),
        ('{"cluster": {"worker": ["a:1", "b:2"]}}', "can't be read"),
        (WORKERS.replace("%d", "1.5"), "can't be read"),
        (WORKERS % -1, "process is worker -1 of a cluster with 2 workers"),
        (WORKERS % 2, "process is worker 2 of a cluster with 2 workers: a:1, b:2"),
        (WORKERS.replace('"worker":', '"ps": ["c:3"], "worker":') % 0, "tasks of type 'ps'"),
        (WORKERS.replace('"type": "worker"', '"type": "evaluator"') % 0, "type 'evaluator'"),
        (WORKERS.replace(', "b:2"', "") % 0, "has 1 workers, and replicas=2"),
    ],
)
def test_a_cluster_that_can_not_train_is_refused(monkeypatch, text, message):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ConfigError, match=message):
        read_task(2)


@pytest.mark.parametrize("strategy", [None, "mirrored"])
@pytest.mark.parametrize("text", [WORKERS % 0, WORKERS.replace('"worker":', '"chief":'), "{"])
def test_a_cluster_that_the_strategy_does_not_use_is_refused(monkeypatch, strategy, text):
    refuse_cluster(strategy)
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ConfigError, match=r"TF_CONFIG names a cluster, and strategy=.* alone\. "):
        open_strategy(strategy, 1)
    refuse_cluster("multi_worker")


def test_an_estimator_without_strategy_joins_no_cluster(monkeypatch, tmp_path):
    monkeypatch.setenv("TF_CONFIG", WORKERS % 1)
    estimator = make_gan_estimator(tmp_path, GANSettings(), (28, 28, 1))
    assert (estimator.config.num_worker_replicas, estimator.config.is_chief) == (1, True)
    assert os.environ["TF_CONFIG"] == WORKERS % 1


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("critic_steps", [1, 2])
def test_the_workers_of_a_training_that_diverges_end_with_a_sentence_each(
    tmp_path, records, critic_steps
):
    settings = {"gan_type": "wgan", "crit_lr": 1e38, "critic_weight_clip": 1e38}
    settings.update(strategy="multi_worker", replicas=2, critic_steps=critic_steps)
    ports = free_ports(2)
    workers = [
        start(TRAIN_OR_SAY, records, str(tmp_path), settings, 50, cluster=ports, index=index)
        for index in (0, 1)
    ]
    chief, follower = [worker.communicate(timeout=300)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [1, 1], (chief, follower)
    assert "TrainingDiverged: The " in chief
    assert "The checkpoint of step 0 is kept" in chief
    assert follower.startswith(("TrainingDiverged: The critic_loss is not finite", "Rep")), follower
    assert len(follower.splitlines()) == 1


def test_the_index_of_a_task_may_be_a_string(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", WORKERS.replace("%d", '"1"'))
    assert read_task(2).index == 1


def test_the_first_worker_is_the_chief_and_the_others_keep_no_record(monkeypatch):
    assert not is_follower(None)
    assert not is_follower("mirrored")
    for index, follows in ((0, False), (1, True)):
        monkeypatch.setenv("TF_CONFIG", WORKERS % index)
        assert is_follower("multi_worker") is follows
    with_chief = json.loads(WORKERS % 0)
    with_chief["cluster"] = {"chief": ["a:1"], "worker": ["b:2"]}
    monkeypatch.setenv("TF_CONFIG", json.dumps(with_chief))
    assert is_follower("multi_worker")
    assert read_task(2).addresses == ("a:1", "b:2")


def test_a_worker_with_other_settings_than_the_chief_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"did not appear within 0 s\. Start the chief"):
        wait_for_identity(tmp_path, {"settings": {"seed": 1}}, 0)
    (tmp_path / "training.json").write_text('{"settings": {"seed": 2}}')
    with pytest.raises(ConfigError, match="seed was 2, is 1"):
        wait_for_identity(tmp_path, {"settings": {"seed": 1}}, 0)
    wait_for_identity(tmp_path, {"settings": {"seed": 2}}, 0)
