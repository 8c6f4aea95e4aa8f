"""Sample grids of any GAN that is trained within a run: TF-GAN's estimator or one built on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reproducible_ml.models.exact import GridHook
from reproducible_ml.models.gan import GRID_COLUMNS, generate, grid_inputs, noted_gan_model
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
        """Return the hook for the present graph; none if it generates no images from latents."""
        gan_model = noted_gan_model()
        if gan_model is None or not _makes_images(gan_model):
            return ()
        noise_dims = int(gan_model.generator_inputs.shape[-1])
        shown = grid_inputs(self._run.config["seed"], noise_dims)
        return (
            GridHook(
                lambda: generate(gan_model, shown),
                self._folder,
                self._every_steps,
                self._written,
                columns=GRID_COLUMNS,
                last_too=True,
            ),
        )

    def _written(self, path: Path, step: int) -> None:
        record_image(self._run, path, f"samples-{step:08d}.png", step)


def _makes_images(gan_model: Any) -> bool:
    latents, images = gan_model.generator_inputs, gan_model.generated_data
    # Labels and other inputs have shapes that nobody but the user can fill.
    if not hasattr(latents, "shape") or latents.shape.rank != 2 or not latents.dtype.is_floating:
        return False
    return images.shape.rank == 4 and images.shape[-1] in (1, 3) and latents.shape[-1] is not None
