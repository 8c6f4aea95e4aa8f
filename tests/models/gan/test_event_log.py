"""TensorBoard shows every point and grid of a training once, also after a kill and a resume."""

import json
import time
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from reproducible_ml.models.gan.event_log import EventLog
from reproducible_ml.tracking import experiment
from reproducible_ml.tracking.runs import record_model_dir


def process(folder, restored_step, steps):
    """Write what one process of a training writes; a grid at each even step."""
    log = EventLog(folder, restored_step)
    for step in steps:
        log.scalar("critic_loss", step / 8, step)
        if step % 2 == 0:
            pixels = np.full((4, 6, 3), step, np.uint8)
            path = folder / f"step-{step:08d}.png"
            Image.fromarray(pixels).save(path)
            log.grid(path, step)
            log.grid(path, step)
    # Not closed but flushed, as a killed process leaves it.
    tf.compat.v1.summary.FileWriterCache.clear()


def test_each_point_and_grid_is_there_once(tmp_path):
    process(tmp_path, 0, range(1, 8))
    # TensorFlow names its files by the second; no process starts within one of another.
    time.sleep(1.1)
    # A resume at step 4 writes its metrics from the start again.
    process(tmp_path, 4, range(1, 11))
    shown = EventAccumulator(str(tmp_path), size_guidance={"scalars": 0, "images": 0}).Reload()
    points = {event.step: event.value for event in shown.Scalars("critic_loss")}
    assert len(shown.Scalars("critic_loss")) == 10
    assert points == {step: step / 8 for step in range(1, 11)}
    images = shown.Images("samples")
    assert [event.step for event in images] == [2, 4, 6, 8, 10]
    assert (images[-1].width, images[-1].height) == (6, 4)
    last = tf.io.decode_png(images[-1].encoded_image_string).numpy()
    assert (last == 10).all()


def test_the_run_names_the_folder_for_the_boards_tensorflow_tab(tmp_path):
    ex = experiment("logs")
    ex.main(lambda _run: record_model_dir(_run, Path("models/a")))
    ex.run()
    info = json.loads((tmp_path / "runs" / "1" / "info.json").read_text())
    assert info["tensorflow"] == {"logdirs": [str(tmp_path / "models" / "a")]}
