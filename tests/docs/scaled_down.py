"""What is done less of, or in another place, where a page's command would take minutes."""

import re

SMALL = "max_steps={} batch_size=8 log_every_steps=1 grid_every_steps=2 checkpoint_every_steps=2"

# Pattern in the command, what stands there instead. All are made, in this order.
SUBSTITUTIONS = [
    # The environment is the one that the tests run in.
    (r"^source \.venv/bin/activate$", "true"),
    (r"\.venv/bin/", ""),
    # With digests within its few steps, as the preset has within its 500.
    (r"^make run$", "python -m experiments.mnist_wgan with digits digest_every_steps=2"),
    # The address of the tests' own server.
    (r"(?<=-m )sacred\b", "{mongo}"),
    # Servers are started, looked at once and stopped.
    (r"^(sacredboard|reproducible-ml board)\b(.*)$", r"python -m tests.docs.visit \1\2"),
    # Two members of a sweep show as much as ten.
    (r"\bseed=1\.\.5\b", "seed=1"),
    (r"(sweep .*)\bmax_steps=20\b", r"\1max_steps=2"),
    (r"(sweep experiments\.mnist_wgan(?!.*max_steps).*)", r"\1 " + SMALL.format(2)),
    (r"--trials 4", "--trials 2"),
    # Trainings.
    (r"(python -m experiments\.mnist_classifier)(.*)", r"\1\2 WITH max_steps=20 batch_size=32"),
    (r"(python -m experiments\.mnist_evaluate)(.*)", r"\1\2 WITH samples=150"),
    (r"(python -m experiments\.mnist_wgan)((?!.*smoke).*)", r"\1\2 WITH " + SMALL.format(4)),
    (r"--step 400\b", "--step 2"),
]


def scaled_down(command, mongo):
    """Return what is executed for a command, and whether that is something smaller."""
    text = command
    for pattern, instead in SUBSTITUTIONS:
        text = re.sub(pattern, instead, text)
    text = text.replace("{mongo}", mongo)
    # Sacred's settings stand behind one "with", whether the page had it or not.
    head, found, tail = text.partition(" WITH ")
    if found:
        text = head + (" " if " with " in head else " with ") + tail
    same_work = re.sub(r"\.venv/bin/", "", command) == text or "tests.docs.visit" in text
    return text, not same_work
