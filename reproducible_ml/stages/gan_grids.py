"""Sample grids of any GAN that is trained within a run: TF-GAN's estimator or one built on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reproducible_ml.models.exact import GridHook
from reproducible_ml.models.gan import GRID_COLUMNS, image_sampler
from reproducible_ml.tracking.recording import record_image


class GridsOfAnyGAN:
    """Draws the same samples at regular steps of a training, if it is a GAN's of images.

    Args:
        run: The running Sacred run.
        model_dir: The grids are written to its folder ``samples``.
        every_steps: Steps between two grids.
    """

    def __init__(self, run: Any, model_dir: Path, every_steps: int) -> None:
        self._run = run
        self._folder = model_dir / "samples"
        self._every_steps = every_steps

    def hooks(self) -> Sequence[Any]:
        """Return the hook for the present graph; none if it makes no images from latents."""
        draw = image_sampler(self._run.config["seed"])
        if draw is None:
            return ()
        return (
            GridHook(
                draw,
                self._folder,
                self._every_steps,
                self._written,
                columns=GRID_COLUMNS,
                last_too=True,
            ),
        )

    def _written(self, path: Path, step: int) -> None:
        record_image(self._run, path, f"samples-{step:08d}.png", step)
