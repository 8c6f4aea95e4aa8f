"""Trainings of Estimators within a running experiment, recorded without a call of the user's.

Each ``train`` of a ``tf.estimator.Estimator`` is made exact (``models.exact.ExactTraining``). Its
losses, checkpoints, weight digests, data and, for a GAN, sample grids are recorded in the run.
``experiment(..., autolog=False)`` leaves the Estimators of an experiment alone.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from reproducible_ml.models.exact import (
    LOSSES_FILE,
    STEPS_FILE,
    TENSORS_FILE,
    TF_CONFIG,
    Determinism,
    Task,
    apply_determinism,
    code_digests,
    determinism_in_use,
    parsed_code,
    read_task,
)
from reproducible_ml.stages.parts import Points, record_probe, values_of
from reproducible_ml.stages.warm_start import WarmStart, warm_start_of
from reproducible_ml.tracking.folder import plain
from reproducible_ml.tracking.recording import (
    loaded_files,
    record_checkpoint,
    record_dataset,
    record_digest,
    record_stage,
)
from reproducible_ml.tracking.runs import flat, hold_folder, record_model_dir
from reproducible_ml.utils.digests import file_digest
from reproducible_ml.utils.errors import ConfigError, need_bool, need_count
from reproducible_ml.utils.running import autologged_run

# What imports TensorFlow is imported where it is used: this module is imported in the midst of
# TensorFlow's own import, which may be that of such a module.
if TYPE_CHECKING:
    from reproducible_ml.models.exact.any_estimator import ExactTraining, TrainingEnd, Watched

# Settings that no bit of a training depends on, unless it computes with them.
FREE = frozenset(
    {"allow_changed", "checkpoint_every", "log_every", "max_steps", "model_dir", "steps"}
)
# Names of TensorFlow's classes for it, of both versions of its interface.
_OF_WORKERS = ("MultiWorkerMirrored", "CollectiveAllReduce")
_FREE_ENDING = ("_every_steps", "_every_secs")
# A larger file is known by its size and time of change alone.
_LARGEST_DIGESTED_BYTES = 1 << 30


class RunTrainings:
    """The trainings of Estimators in one run.

    Args:
        run: The running Sacred run.

    Attributes:
        points: Records points in the run.
    """

    def __init__(self, run: Any) -> None:
        self._run = run
        self.points = Points(run)
        self._trainings: dict[Path, ExactTraining] = {}
        self._determinism = Determinism(**values_of(Determinism, run.config))
        self._prepared = False

    def prepare(self) -> None:
        """Apply the determinism settings to this process, once and as far as it still takes them.

        TensorFlow takes them only before it has computed anything. What it runs with is recorded
        in any case, and stands in the identity of the training.
        """
        if self._prepared:
            return
        self._prepared = True
        seed = int(self._run.config["seed"])
        try:
            apply_determinism(self._determinism, seed, check_onednn=False)
        except ConfigError as error:
            print(f"Warning: {error}", file=sys.stderr, flush=True)
        self._determinism = determinism_in_use(self._determinism)

    def train(
        self,
        stock: Any,
        estimator: Any,
        input_fn: Any,
        hooks: Any = None,
        steps: int | None = None,
        max_steps: int | None = None,
        saving_listeners: Any = None,
        final_step: int | None = None,
    ) -> TrainingEnd:
        """Train as ``Estimator.train`` does, and record it.

        Args:
            stock: The Estimator's own ``train``, bound to it.
            estimator: The Estimator.
            input_fn: As in ``Estimator.train``, like all that follow.
            hooks: Further hooks.
            steps: Steps of this call.
            max_steps: The step at which training ends.
            saving_listeners: Listeners of checkpoints.
            final_step: The step at which a training ends of which this call is a part.
        """
        from reproducible_ml.models.exact.any_estimator import FollowingTraining

        self.prepare()
        folder = Path(estimator.model_dir)
        training = self._trainings.get(folder)
        if training is None:
            training = self._trainings[folder] = self._begin(folder, estimator)
        else:
            training.continue_with(estimator)
        end = training.train(
            input_fn, hooks, steps, max_steps, saving_listeners, train=stock, final_step=final_step
        )
        if isinstance(training, FollowingTraining):
            return end
        # What a part of a training leaves is recorded at the end, unless its data has ended here.
        if final_step is None or max_steps is None or not max_steps == end.step < final_step:
            self._record(training, end)
        return end

    def _begin(self, folder: Path, estimator: Any) -> ExactTraining:
        from reproducible_ml.models.exact.any_estimator import ExactTraining, FollowingTraining

        run, task = self._run, _task(estimator)
        values = flat(plain(run.config), "")
        keys = [key for key, value in values.items() if _same_path(value, folder)]
        if not keys and folder.is_absolute() and not _is_temporary(folder) and not run.unobserved:
            raise ConfigError(
                f"The Estimator writes to {folder}, which no configuration key names, so a rerun "
                "of this run would write there too. Add model_dir to the configuration and pass it "
                "on, or give a relative path."
            )
        if "stage" not in run.info:
            record_stage(run, inputs=(), outputs=keys)
        if task is not None and not task.is_chief:
            return FollowingTraining(estimator, self._watched(estimator), task)
        if task is not None:
            run.info["stage"] = {**run.info["stage"], "workers": len(task.addresses)}
        hold_folder(run, folder)
        if "model_dir" not in run.info:
            # Sacred draws a seed for a configuration without one; a resume needs the same.
            run.info["resume_with"] = {"seed": run.config["seed"]}
            record_model_dir(run, folder)
        return ExactTraining(estimator, self._watched(estimator))

    def _watched(self, estimator: Any) -> Watched:
        from reproducible_ml.models.exact.any_estimator import Watched
        from reproducible_ml.stages.gan_grids import GridsOfAnyGAN

        config = self._run.config
        for name in ("log_every_steps", "digest_every_steps", "grid_every_steps"):
            if name in config:
                need_count(name, config[name])
        if "allow_changed" in config:
            need_bool("allow_changed", config["allow_changed"])
        return Watched(
            seed=config["seed"],
            identity=partial(self._identity, warm_start_of(estimator), _replicas(estimator)),
            write=self.points.scalar,
            log_every_steps=config.get("log_every_steps", Watched.log_every_steps),
            digest_every_steps=config.get("digest_every_steps", Watched.digest_every_steps),
            allow_changed=config.get("allow_changed", False),
            hooks=GridsOfAnyGAN(
                self._run, Path(estimator.model_dir), config.get("grid_every_steps", 200)
            ).hooks,
        )

    def _identity(
        self, warm_start: WarmStart | None, replicas: dict[str, int], manifest: Any
    ) -> dict[str, Any]:
        """Return what a resumed training must share: configuration, data and code."""
        run = self._run
        # As a record holds them: it is kept as JSON, and a path counts as the string that it is.
        values = flat(plain(run.config), "")
        if manifest is not None and "dataset" not in run.info:
            record_dataset(run, "records", manifest)
            place = Path(manifest.record_dir)
            named = [key for key, value in values.items() if _same_path(value, place)]
            stage = run.info["stage"]
            run.info["stage"] = {**stage, "inputs": [*stage["inputs"], *named]}
        settings, data = {}, {} if manifest is None else {"fingerprint": manifest.fingerprint}
        if warm_start is not None:
            data["warm_start"] = warm_start.digest
            record_digest(run, {"warm_start": warm_start.digest})
            stage = run.info["stage"]
            named = [key for key, value in values.items() if value == warm_start.path]
            run.info["stage"] = {**stage, "inputs": [*stage["inputs"], *named]}
        for key, value in values.items():
            if key in FREE or key.endswith(_FREE_ENDING):
                continue
            if isinstance(value, str) and os.path.isfile(value):
                data[key] = _content(value)
            elif manifest is None or not _same_path(value, Path(manifest.record_dir)):
                settings[key] = value
        settings.update(self._determinism.as_dict(), **replicas)
        own = loaded_files(Path(run.experiment_info["base_dir"]))
        return {
            "settings": settings,
            "data": data,
            "code": code_digests(),
            "own_code": parsed_code(own),
        }

    def _record(self, training: ExactTraining, end: TrainingEnd) -> None:
        run, number = self._run, list(self._trainings.values()).index(training)
        # The first training has the names that every training of this project has.
        after = f"-{number + 1}" if number else ""
        if not number:
            record_checkpoint(run, end.checkpoint, end.step)
            record_probe(run, self._determinism)
        record_digest(run, {f"{name}{after}": value for name, value in end.digests.items()})
        for name in (STEPS_FILE, TENSORS_FILE, LOSSES_FILE):
            path = training.folder / name
            if path.exists():
                stem, dot, suffix = name.partition(".")
                run.add_artifact(
                    str(path), f"{stem}{after}{dot}{suffix}", content_type=_CONTENT_TYPE
                )


_CONTENT_TYPE = "application/octet-stream"
_of_runs: WeakKeyDictionary[Any, RunTrainings] = WeakKeyDictionary()


def trainings_of(run: Any) -> RunTrainings:
    """Return the trainings of a running Sacred run."""
    if run not in _of_runs:
        _of_runs[run] = RunTrainings(run)
    return _of_runs[run]


def train(stock: Any, estimator: Any, *args: Any, **kwargs: Any) -> Any:
    """Take the place of ``Estimator.train``: within a running experiment, record the training.

    Args:
        stock: The Estimator's own ``train``.
        estimator: The Estimator.
        *args: Arguments of ``train``.
        **kwargs: Arguments of ``train``.

    Returns:
        The Estimator, as ``train`` does.
    """
    run = autologged_run()
    if run is None:
        return stock(estimator, *args, **kwargs)
    trainings_of(run).train(partial(stock, estimator), estimator, *args, **kwargs)
    return estimator


def seed_of_run() -> int | None:
    """Return the seed for a ``RunConfig`` that has none; None outside of a recorded run."""
    run = autologged_run()
    if run is None:
        return None
    trainings_of(run).prepare()
    return int(run.config["seed"]) & 0x7FFFFFFF


def prepare_tensorflow() -> None:
    """Apply the determinism settings of the running experiment, if one is running."""
    run = autologged_run()
    if run is not None:
        trainings_of(run).prepare()


def _task(estimator: Any) -> Task | None:
    """Return which worker of a cluster trains an Estimator; None on one machine.

    Raises:
        ConfigError: The cluster does not train it in sync, or is not joined by this call.
    """
    in_sync = type(estimator._train_distribution).__name__.startswith(_OF_WORKERS)
    # Before a cluster is joined, a RunConfig with such a strategy counts one worker.
    if estimator.config.num_worker_replicas < 2 and not (in_sync and os.environ.get(TF_CONFIG)):
        return None
    task = read_task()
    if len(task.addresses) < 2:
        return None
    if not in_sync:
        raise ConfigError(
            f"{TF_CONFIG} names a cluster of {len(task.addresses)} workers, which train an "
            "Estimator in sync, and so to the same bits again, with RunConfig(train_distribute="
            "tf.distribute.MultiWorkerMirroredStrategy()) alone. Use it, unset "
            f"{TF_CONFIG}, or train unrecorded: experiment(..., autolog=False)."
        )
    if not _is_joined():
        raise ConfigError(
            f"{TF_CONFIG} names a cluster of {len(task.addresses)} workers, which Estimator.train "
            "does not join. Call tf.estimator.train_and_evaluate with a TrainSpec of the same "
            f"input and max_steps, or unset {TF_CONFIG}."
        )
    return task


def _replicas(estimator: Any) -> dict[str, int]:
    """Return by how many replicas a step is computed, on which its bits depend."""
    strategy = estimator._train_distribution
    return {} if strategy is None else {"replicas": int(strategy.num_replicas_in_sync)}


def _is_joined() -> bool:
    """Tell whether TensorFlow calls this within its coordination of a cluster."""
    from tensorflow.python.distribute import distribute_coordinator_context

    return distribute_coordinator_context.get_current_worker_context() is not None


def _same_path(value: Any, path: Path) -> bool:
    return isinstance(value, str) and bool(value) and Path(value).absolute() == path.absolute()


def _is_temporary(folder: Path) -> bool:
    # Estimator makes one if it is given no model_dir.
    return folder.name.startswith("tmp")


def _content(path: str) -> Any:
    entry = os.stat(path)
    if entry.st_size > _LARGEST_DIGESTED_BYTES:
        return [entry.st_size, entry.st_mtime_ns]
    return file_digest(path)
