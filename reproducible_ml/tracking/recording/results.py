"""Results that an experiment adds to its run: digests of arrays, and the paths it reads and writes.

Small arrays are kept whole in an artifact, so that a rerun's difference has an index and values.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from reproducible_ml.tracking.recording.facts import record_digest
from reproducible_ml.tracking.recording.found_paths import input_digests, start_of
from reproducible_ml.tracking.runs import flat
from reproducible_ml.utils.digests import array_digest
from reproducible_ml.utils.errors import ConfigError, TrackingError
from reproducible_ml.utils.text import suggestion

# The artifact with the arrays, named by their numbers in info["arrays"].
ARRAYS_FILE = "digested-arrays.npz"
LARGEST_KEPT_BYTES = 16 << 20
# Of all arrays of a run together.
MOST_KEPT_BYTES = 64 << 20
# A run -> its arrays that are kept, by number.
_kept: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()


def finish(
    run: Any,
    digests: Mapping[str, Any] | None = None,
    inputs: Iterable[str] = (),
    outputs: Iterable[str] = (),
    ignore: Iterable[str] = (),
) -> None:
    """Add to what a run records at its end, and what ``reproducible-ml reproduce`` compares.

    Without this call the result, every metric point and every artifact are compared, and files in
    the configuration count as inputs if the run has left them as they were.

    Example::

        finish(_run, digests={"coef": model.coef_}, inputs=["data_file"], ignore=["seconds"])

    Args:
        run: The running Sacred run, ``_run``.
        digests: Arrays by name, compared bit for bit: anything that NumPy converts to an array of
            numbers or strings, or dictionaries and lists of such, named "weights/0". Arrays of up
            to 16 MB are also kept, so that a difference names the first differing element.
        inputs: Dotted configuration keys of files and folders that the run reads. Their bytes are
            compared too, and ``--input KEY=PATH`` gives the present path of one that has moved.
        outputs: Dotted configuration keys of files and folders that the run writes; a rerun writes
            elsewhere.
        ignore: What differs between equal runs: names of metrics, artifacts and digests, and
            "result" or "result.seconds" for (an entry of) the result. ``*`` stands for any text.

    Raises:
        ConfigError: The configuration has no such key.
        TrackingError: A value is no array of numbers or strings, or an input does not exist.
    """
    stage = {"cwd": start_of(run).cwd, "inputs": [], "outputs": [], **(run.info.get("stage") or {})}
    for name, keys in (("inputs", inputs), ("outputs", outputs)):
        stage[name] = list(dict.fromkeys([*stage[name], *map(str, _listed(name, keys))]))
    values = flat(run.config, "")
    _check_keys([*stage["inputs"], *stage["outputs"]], run.config, values)
    cwd, given = stage["cwd"], [key for key in stage["inputs"] if values.get(key)]
    paths = {key: os.path.join(cwd, values[key]) for key in given}
    for key, path in paths.items():
        if not os.path.exists(path):
            raise TrackingError(
                f"finish() names {key} as an input, but {path} does not exist. Name what the run "
                "reads."
            )
    run.info["stage"] = stage
    run.info["inputs"] = input_digests(paths, largest=None)
    ignored = [*run.info.get("ignored", ()), *map(str, _listed("ignore", ignore))]
    if ignored:
        run.info["ignored"] = list(dict.fromkeys(ignored))
    if digests is not None:
        _record_arrays(run, dict(_arrays(digests, "")))


def _listed(name: str, values: Iterable[str]) -> list[str]:
    if isinstance(values, str):
        raise ConfigError(f"finish({name}=...) takes a list of names; write [{values!r}].")
    return list(values)


def _check_keys(keys: list[str], config: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    # A key whose value is None has no leaf, but is there.
    known = {*values, *config}
    for key in keys:
        if key not in known:
            raise ConfigError(
                f"finish() names {key!r}, which is no configuration key"
                f"{suggestion(key, sorted(known))}"
            )
        if values.get(key) is not None and not isinstance(values[key], (str, os.PathLike)):
            raise ConfigError(
                f"finish() names {key} as a path, but its value is {values[key]!r}; name a key "
                "whose value is a path."
            )


def _arrays(value: Any, name: str) -> Iterable[tuple[str, Any]]:
    """Yield every array with its name: keys and positions, separated by slashes."""
    prefix = f"{name}/" if name else ""
    if isinstance(value, Mapping):
        for key, item in value.items():
            # MongoDB takes no dots in names.
            yield from _arrays(item, prefix + str(key).replace(".", "/"))
    elif isinstance(value, (list, tuple)) and not all(map(_is_number, value)):
        for number, item in enumerate(value):
            yield from _arrays(item, f"{prefix}{number}")
    else:
        yield name, _as_array(value, name)


def _is_number(value: Any) -> bool:
    return isinstance(value, (bool, int, float, complex, np.generic))


def _as_array(value: Any, name: str) -> Any:
    try:
        # Python's own integers have another size on another system.
        python = [type(one) for one in (value if isinstance(value, (list, tuple)) else [value])]
        array = np.asarray(value, np.int64) if set(python) == {int} else np.asarray(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise TrackingError(
            f"The digest {name!r} can't be taken of a {type(value).__name__}: {error}. Pass arrays "
            "of numbers."
        ) from None
    if array.dtype.hasobject or array.dtype.kind == "V":
        raise TrackingError(
            f"The digest {name!r} can't be taken of a {type(value).__name__}, whose array has the "
            f"dtype {array.dtype}. Pass arrays of numbers or strings, such as a sparse matrix's "
            "data, indices and indptr."
        )
    return array


def _record_arrays(run: Any, arrays: Mapping[str, Any]) -> None:
    entries = [one for one in run.info.get("arrays", ()) if one["name"] not in arrays]
    kept = _kept.setdefault(run, {})
    for name, array in arrays.items():
        size = sum(one.nbytes for one in kept.values()) + array.nbytes
        number = None
        if array.nbytes <= LARGEST_KEPT_BYTES and size <= MOST_KEPT_BYTES:
            number = str(len(kept))
            kept[number] = array
        entries.append(
            {"name": name, "dtype": array.dtype.str, "shape": list(array.shape), "kept": number}
        )
    run.info["arrays"] = entries
    record_digest(run, {name: array_digest(array) for name, array in arrays.items()})
    if kept:
        with tempfile.TemporaryDirectory(prefix="arrays-") as folder:
            file = Path(folder, ARRAYS_FILE)
            np.savez_compressed(file, **kept)
            run.add_artifact(str(file), ARRAYS_FILE, content_type="application/zip")
