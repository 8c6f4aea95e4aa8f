"""Runs that reports are made of, recorded in this process in a second."""

# ruff: noqa: F841 - the variables of a config function are what Sacred reads

import numpy as np
from PIL import Image

from reproducible_ml.tracking import experiment
from reproducible_ml.tracking.recording import facts as record

HOSTILE = (
    "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
)
SECRET = "geheimnis-4711"

ex = experiment("report_toy", types={"name": (str, None)})


@ex.config
def config():
    seed = 3  # root of every stream
    lr = 0.5  # a step's length
    steps = 12
    name = "plain"
    optimizer = {"kind": "sgd", "momentum": 0.9}
    api_key = ""
    pictures = 4
    fail = ""


@ex.main
def main(_run, lr, steps, pictures, fail):
    for step in range(steps):
        record.record_scalar(_run, "loss", lr / (step + 1), step)
    for number in range(pictures):
        # Each picture is one grey, which a test can read back.
        Image.fromarray(np.full((8, 8), 40 * number, np.uint8)).save("grid.png")
        record.record_image(_run, "grid.png", f"samples-{10 * number:08d}.png", 10 * number)
    if fail:
        raise RuntimeError(fail)
    record.record_digest(_run, {"run": f"{steps:064x}", "samples": "5" * 64})
    return {"loss": lr / max(steps, 1)}


def record_run(*, folder="runs", **updates):
    """Record a run in a folder; return its id."""
    try:
        return ex.run(config_updates=updates, options={"--file_storage": str(folder)})._id
    except RuntimeError:
        return ex.current_run._id
