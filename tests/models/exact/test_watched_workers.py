"""A step that waits for a worker which is gone ends, and no other step does."""

import signal
import subprocess
import sys

import pytest
import tensorflow as tf

from reproducible_ml.models.exact.any_estimator.watched_workers import WatchedWorkersHook
from reproducible_ml.models.exact.distribution import Task

LISTEN = """
import socket, time
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
connection, _ = server.accept()
print("seen", flush=True)
time.sleep(120)
"""


@pytest.fixture
def worker():
    """Another worker, as far as the network sees it."""
    with subprocess.Popen([sys.executable, "-c", LISTEN], stdout=subprocess.PIPE) as process:
        yield process
        process.kill()


@pytest.fixture
def step():
    """A session on TensorFlow's server, and an operation that waits for what never comes."""
    with tf.Graph().as_default():
        waits = tf.queue.FIFOQueue(1, tf.int32).dequeue()
        server = tf.distribute.Server.create_local_server()
        with tf.compat.v1.Session(server.target) as session:
            yield session, waits


def watch(worker, session):
    port = int(worker.stdout.readline())
    hook = WatchedWorkersHook(Task(("127.0.0.1:1", f"127.0.0.1:{port}"), 0), patience=1.0)
    hook.start()
    hook.after_create_session(session, None)
    # Until the worker is seen it counts as not started.
    assert worker.stdout.readline().strip() == b"seen"
    return hook, f"127.0.0.1:{port}"


def test_a_step_that_waits_for_a_lost_worker_ends(worker, step):
    session, waits = step
    hook, address = watch(worker, session)
    hook.before_run(None)
    worker.send_signal(signal.SIGKILL)
    with pytest.raises(tf.errors.CancelledError):
        session.run(waits, options=tf.compat.v1.RunOptions(timeout_in_ms=30_000))
    assert hook.said == f"{address} does not answer, and a step waits for it"


def test_what_is_no_waiting_step_goes_on(worker, step):
    session, waits = step
    # A long step while all workers are there, such as an update of large networks.
    hook, _ = watch(worker, session)
    hook.before_run(None)
    with pytest.raises(tf.errors.DeadlineExceededError):
        session.run(waits, options=tf.compat.v1.RunOptions(timeout_in_ms=3_000))
    hook.after_run(None, None)
    # What follows the last step, such as a checkpoint: the other workers have ended by then.
    worker.send_signal(signal.SIGKILL)
    with pytest.raises(tf.errors.DeadlineExceededError):
        session.run(waits, options=tf.compat.v1.RunOptions(timeout_in_ms=3_000))
    assert not hook.said
    hook.stop()


def test_a_worker_that_has_not_started_is_not_lost(step):
    session, waits = step
    hook = WatchedWorkersHook(Task(("127.0.0.1:2", "127.0.0.1:1"), 0), patience=0.5)
    hook.start()
    hook.after_create_session(session, None)
    hook.before_run(None)
    with pytest.raises(tf.errors.DeadlineExceededError):
        session.run(waits, options=tf.compat.v1.RunOptions(timeout_in_ms=2_000))
    hook.stop()
