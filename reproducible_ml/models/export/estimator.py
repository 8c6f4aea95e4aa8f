"""Export of any Estimator as a SavedModel, with a record of its origin.

Only the code that built an Estimator can build its graph for predictions, so the export is made
there, in the process that has trained it. What the SavedModel takes and returns is decided by the
``model_fn``; it is loaded again and compared bit for bit with the Estimator's own predictions for a
batch of real data, before it gets its name.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from reproducible_ml.models.exact import IDENTITY_FILE
from reproducible_ml.models.export.folder import (
    Export,
    check_output,
    choose_checkpoint,
    new_export,
    write_provenance,
)
from reproducible_ml.utils.digests import array_digest, combined_digest
from reproducible_ml.utils.errors import ConfigError, DataError
from reproducible_ml.utils.redaction import without_secrets

Arrays = dict[str, np.ndarray[Any, Any]]


def export_estimator(
    estimator: Any,
    input_fn: Callable[[], Any],
    output: str | Path,
    step: int | None = None,
    overwrite: bool = False,
    run: Mapping[str, Any] | None = None,
    serving_input_receiver_fn: Callable[[], Any] | None = None,
) -> Export:
    """Export an Estimator as a SavedModel that predicts what the Estimator predicts.

    Args:
        estimator: The Estimator, whose ``model_fn`` builds predictions.
        input_fn: Returns a ``tf.data.Dataset`` of (features, labels) or features, as for training.
            Its first element says what the SavedModel takes, and is predicted as the proof.
        output: Folder to create.
        step: Step of the checkpoint; None for the newest.
        overwrite: Replace an existing export.
        run: Facts about the recorded run, for the entry ``run`` of the provenance.
        serving_input_receiver_fn: As for ``Estimator.export_saved_model``; it must take the same
            features. None for one that takes a batch of any size of the features of ``input_fn``
            as tensors, each under its name, or a single one as ``features``.

    Returns:
        The export; ``same_as_run`` is None, since a training records no predictions.

    Raises:
        ConfigError: ``output`` is taken, the features are no tensors of one size but the batch's,
            or the ``model_fn`` builds no predictions.
        DataError: There is no such checkpoint, no data, or the export's predictions differ.
    """
    output = Path(os.path.abspath(output))
    check_output(output, overwrite)
    step, prefix = choose_checkpoint(estimator.model_dir, step)
    features = _first_features(input_fn)
    receive = serving_input_receiver_fn or _receiver(features)
    predictions = _predicted(estimator, features, str(prefix))
    with new_export(output, overwrite) as folder:
        saved = estimator.export_saved_model(
            str(folder.parent / "saved"), receive, checkpoint_path=str(prefix)
        )
        shutil.move(os.fsdecode(saved), folder)
        name, compared = _compare(folder, features, predictions, prefix)
        digest = combined_digest(
            {
                **{f"features/{key}": _digest(value) for key, value in features.items()},
                **{f"predictions/{key}": _digest(predictions[key]) for key in compared},
            }
        )
        training = Path(estimator.model_dir) / IDENTITY_FILE
        identity = json.loads(training.read_text("utf-8")) if training.is_file() else {}
        facts = {
            "run": None if run is None else dict(run),
            "data_fingerprint": (identity.get("data") or {}).get("fingerprint"),
            "settings": without_secrets(identity.get("settings")),
            "signature": {
                "name": name,
                "inputs": {key: _described(value) for key, value in features.items()},
                "outputs": {key: _described(predictions[key]) for key in compared},
            },
            "predictions": {
                "inputs": "the first batch of the input_fn that the export was made with",
                "count": len(next(iter(predictions.values()))),
                "digest": digest,
            },
        }
        write_provenance(folder, prefix, step, facts)
    return Export(output, step, None, digest)


def _first_features(input_fn: Callable[[], Any]) -> Arrays:
    """Return the features of the first element, each with a leading batch dimension."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        data = input_fn()
        if not isinstance(data, tf.data.Dataset):
            raise ConfigError("input_fn must return a tf.data.Dataset for an export.")
        iterator = tf.compat.v1.data.make_initializable_iterator(data)
        session.run(tf.compat.v1.tables_initializer())
        session.run(iterator.initializer)
        element = iterator.get_next()
        features = element[0] if isinstance(element, tuple) else element
        named = features if isinstance(features, dict) else {"features": features}
        for name, value in named.items():
            if not isinstance(value, tf.Tensor) or value.shape.rank in (None, 0):
                raise ConfigError(
                    f"Feature {name!r} is a {type(value).__name__} of shape {value.shape}, which "
                    "is not a batch of dense tensors. Convert it in the input_fn you export with."
                )
        try:
            found: Arrays = session.run(named)
        except tf.errors.OutOfRangeError:
            raise DataError("input_fn has no data to predict for the export.") from None
    return found


def _receiver(features: Arrays) -> Callable[[], Any]:
    """Return what makes the inputs of the SavedModel: a batch of any size of these features."""

    def receive() -> Any:
        inputs = {
            name: tf.compat.v1.placeholder(
                tf.as_dtype(value.dtype) if value.dtype != object else tf.string,
                [None, *value.shape[1:]],
                name=name.replace("/", "_"),
            )
            for name, value in features.items()
        }
        given = _as_given(inputs)
        export = tf.estimator.export
        # A model_fn gets a single tensor as such from this one alone.
        kind = export.ServingInputReceiver if given is inputs else export.TensorServingInputReceiver
        return kind(given, inputs)

    return receive


def _as_given(named: dict[str, Any]) -> Any:
    return named["features"] if list(named) == ["features"] else named


def _predicted(estimator: Any, features: Arrays, checkpoint: str) -> Arrays:
    """Return what the Estimator predicts for the features, by name."""

    def one_batch() -> Any:
        return tf.data.Dataset.from_tensors(_as_given(features))

    try:
        found = list(
            estimator.predict(one_batch, checkpoint_path=checkpoint, yield_single_examples=False)
        )
    except (TypeError, ValueError, AttributeError) as error:
        said = str(error).partition("\n")[0]
        raise ConfigError(
            f"The model_fn builds no predictions ({type(error).__name__}: {said}). In mode "
            "PREDICT, where labels is None, return an EstimatorSpec with predictions."
        ) from error
    (predictions,) = found
    return predictions if isinstance(predictions, dict) else {"output": predictions}


def _compare(
    folder: Path, features: Arrays, predictions: Arrays, prefix: Path
) -> tuple[str, list[str]]:
    """Compare a SavedModel's predictions with the Estimator's; return signature and names."""
    model = tf.saved_model.load(str(folder))
    for name in ("predict", "serving_default", *model.signatures):
        signature = model.signatures.get(name)
        if signature is None:
            continue
        taken = set(signature.structured_input_signature[1])
        compared = sorted(predictions.keys() & signature.structured_outputs.keys())
        if compared and taken == features.keys():
            break
    else:
        raise ConfigError(
            "No signature of the SavedModel takes these features and returns predictions of the "
            f"model_fn: it has {', '.join(sorted(model.signatures)) or 'none'}. Let export_outputs "
            "hold a PredictOutput of the predictions, or give serving_input_receiver_fn."
        )
    loaded = signature(**{key: tf.constant(value) for key, value in features.items()})
    for key in compared:
        if _digest(loaded[key].numpy()) != _digest(predictions[key]):
            raise DataError(
                f"The exported model predicts another {key} than the checkpoint {prefix}. Nothing "
                "was exported."
            )
    return name, compared


def _digest(value: Any) -> str:
    array = np.asarray(value)
    # Strings are objects, of which an array holds addresses.
    return array_digest(array.astype(np.bytes_) if array.dtype == object else array)


def _described(value: np.ndarray[Any, Any]) -> dict[str, Any]:
    dtype = "string" if value.dtype == object else str(value.dtype)
    return {"dtype": dtype, "shape": ["n", *value.shape[1:]]}
