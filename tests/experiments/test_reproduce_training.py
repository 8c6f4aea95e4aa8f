"""``reproducible-ml reproduce`` on a real training, from a copy of the tree to be changed."""

import shutil
import sys
import textwrap
from pathlib import Path

import pytest

from reproducible_ml.datasets.serialize.wire.tfrecord import scan
from reproducible_ml.tracking.runs import load_run
from tests.tracking.toy_project import command, run

ROOT = Path(__file__).parents[2]

FLIP = '''
    class FlipOneBit(tf.estimator.SessionRunHook):
        """Flips the lowest bit of a generator's bias after step 3."""

        def begin(self):
            self.bias = [
                one for one in tf.compat.v1.global_variables() if one.name == BIAS
            ][0]
            bits = tf.bitcast(self.bias, tf.int32)
            mask = tf.one_hot(0, self.bias.shape[0], dtype=tf.int32)
            self.flip = self.bias.assign(
                tf.bitcast(tf.bitwise.bitwise_xor(bits, mask), tf.float32)
            )

        def after_run(self, run_context, run_values):
            step = run_context.session.run(tf.compat.v1.train.get_global_step())
            if step == 3:
                run_context.session.run(self.flip)

    hooks = [FlipOneBit(), *hooks]
    try:
        with between_steps()'''


class Tree:
    """A checkout of one's own: experiments and library, runs and data."""

    def __init__(self, root):
        self.root = root
        self.runs = root / "runs"

    def reproduce(self, *options):
        return command(["reproduce", "1", "-F", str(self.runs), *options], self.root)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    root = tmp_path_factory.mktemp("tree")
    for package in ("experiments", "reproducible_ml"):
        shutil.copytree(
            ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    updates = ["smoke", "max_steps=6", "digest_every_steps=1"]
    done = run([sys.executable, "-m", "experiments.mnist_wgan", "with", *updates], root)
    assert done.returncode == 0, done.stdout + done.stderr
    return Tree(root)


@pytest.fixture
def tree(recorded):
    """The tree, put back after the test as it was before it."""
    kept = recorded.root.parent / "kept"
    shutil.copytree(recorded.root, kept)
    yield recorded
    shutil.rmtree(recorded.root)
    kept.rename(recorded.root)


def test_a_training_and_its_data_are_made_again_with_the_same_bits(tree):
    shutil.rmtree(tree.root / "data")
    shutil.rmtree(tree.root / "experiments")
    code, output = tree.reproduce()
    assert code == 2
    assert "--upstream" in output
    code, output = tree.reproduce("--upstream")
    assert code == 0, output
    assert "Run 3 executes run 2 again: identical." in output
    assert "Run 4 executes run 1 again: identical." in output
    first, again = (load_run(number, tree.runs) for number in (1, 4))
    assert first.config["gen_lr"] == again.config["gen_lr"] == 5e-4
    assert first.filled_in["gen_lr"] == "wgan, practical"
    assert again.filled_in == first.filled_in


def test_one_bit_of_one_weight_is_found_at_its_step(tree):
    training = tree.root / "reproducible_ml" / "models" / "gan" / "training.py"
    bias = "Generator/Conv/biases:0"
    source = training.read_text()
    begins = "\n        try:\n            with between_steps()"
    changed = source.replace(begins, textwrap.indent(FLIP.replace("BIAS", repr(bias)), "    "))
    assert changed != source
    training.write_text(changed)
    code, output = tree.reproduce("--sources", "current")
    assert code == 1, output
    assert f"differs at step 3: variable {bias[:-2]} (digest " in output
    assert "reproducible_ml/models/gan/training.py is not the recorded one" in output


@pytest.mark.slow
def test_another_thread_count_is_named_and_has_other_bits(tree):
    code, output = tree.reproduce("--set", "intra_op_threads=1")
    assert code == 1, output
    assert "intra_op_threads: recorded 2, now 1 (--set)" in output
    assert "differs at step 1: " in output


def test_a_flipped_byte_of_the_data_is_named_before_anything_runs(tree):
    shard = tree.root / "data" / "smoke" / "train-00000.tfrecord"
    content = bytearray(shard.read_bytes())
    content[1000] ^= 4
    shard.write_bytes(content)
    code, output = tree.reproduce()
    assert code == 2
    assert "train-00000.tfrecord, record 1: the payload at byte" in output
    assert not (tree.runs / "3").exists()


def test_records_that_changed_places_are_named_before_anything_runs(tree):
    shard = tree.root / "data" / "smoke" / "train-00000.tfrecord"
    content = shard.read_bytes()
    first, second = list(scan(content))[:2]
    assert first.length == second.length
    middle, end = second.offset, second.payload.stop + 4
    shard.write_bytes(content[middle:end] + content[:middle] + content[end:])
    code, output = tree.reproduce()
    assert code == 2
    assert "train-00000.tfrecord: holds complete records, but other ones" in output
