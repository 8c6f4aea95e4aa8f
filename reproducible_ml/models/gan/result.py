"""The result of a training: the last grid, the digests, and the file that holds them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from reproducible_ml.models.exact import losses_digest, read_steps
from reproducible_ml.models.gan.grids import GRID_COLUMNS
from reproducible_ml.models.gan.types import LOSS_NAMES
from reproducible_ml.utils.digests import array_digest, combined_digest, variable_digests
from reproducible_ml.utils.errors import DataError
from reproducible_ml.utils.files import write_json
from reproducible_ml.utils.images import save_grid

RESULT_FILE = "result.json"


@dataclass(frozen=True)
class TrainingResult:
    """The result of a training.

    Attributes:
        step: Completed steps.
        resumed_from: Step of the checkpoint that this process resumed from; 0 for a fresh start.
        generator_loss: The generator's loss in the last step.
        critic_loss: The critic's loss in the last step.
        digests: Digests of ``weights``, ``losses`` and ``samples``, and of all three as ``run``.
        grid: PNG of the final samples.
        checkpoint: Prefix of the final checkpoint.
    """

    step: int
    resumed_from: int
    generator_loss: float
    critic_loss: float
    digests: dict[str, str]
    grid: str
    checkpoint: str

    @property
    def losses(self) -> dict[str, float]:
        """The losses of the last step by name, in the order of ``LOSS_NAMES``."""
        return dict(zip(LOSS_NAMES, (self.generator_loss, self.critic_loss)))


def result_digests(model_dir: str | Path, step: int) -> dict[str, str] | None:
    """Read the digests that a training wrote at its end.

    Args:
        model_dir: Folder of the training.
        step: The step of a checkpoint.

    Returns:
        As ``TrainingResult.digests``; None if it has not ended, or at another step.

    Raises:
        DataError: The file is damaged.
    """
    path = Path(model_dir) / RESULT_FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        digests = {
            name: str(found["digests"][name]) for name in ("weights", "losses", "samples", "run")
        }
        return digests if found["step"] == step else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} can't be read as the result of a training ({error!r}). Restore it from a "
            "backup, or delete it: then nothing is compared with what the training drew."
        ) from error


def finish_training(
    estimator: Any, shown: Any, model_dir: Path, restored_step: int
) -> TrainingResult:
    """Draw the last grid, digest the result and write ``result.json``.

    Args:
        estimator: The trained estimator.
        shown: Inputs of the grids, see ``grid_inputs``.
        model_dir: Folder of the checkpoints.
        restored_step: Step of the checkpoint that this process resumed from; 0 for a fresh start.
    """
    # This loads TensorFlow, whose environment must be set before its first import.
    from reproducible_ml.models.gan.sampling import draw_samples

    steps = read_steps(model_dir)
    step = int(steps["step"][-1])
    inputs = shown if isinstance(shown, dict) else {"latents": shown}
    samples = draw_samples(estimator, **inputs)
    path = model_dir / "samples" / f"step-{step:08d}.png"
    grid = save_grid(samples, path, columns=GRID_COLUMNS)
    weights = variable_digests(estimator)
    digests = {
        "weights": combined_digest(weights),
        "losses": losses_digest(steps),
        "samples": combined_digest(
            {
                **{name: array_digest(inputs[name]) for name in inputs},
                "pixels": array_digest(samples),
            }
        ),
    }
    digests["run"] = combined_digest(digests)
    result = TrainingResult(
        step=step,
        resumed_from=restored_step,
        generator_loss=float(steps["generator_loss"][-1]),
        critic_loss=float(steps["critic_loss"][-1]),
        digests=digests,
        grid=str(grid),
        checkpoint=estimator.latest_checkpoint(),
    )
    details = {**asdict(result), "tensors": weights}
    write_json(model_dir / RESULT_FILE, details, indent=1, sort_keys=False)
    return result
