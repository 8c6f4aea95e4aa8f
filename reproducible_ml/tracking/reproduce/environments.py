"""Differences between two environments, and the effect that each is expected to have on the bits.

The effects were measured (docs/determinism.md) or follow from how a part is used. A difference with
no expected effect is still listed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reproducible_ml.tracking.runs import flat
from reproducible_ml.utils.environment import changes_results
from reproducible_ml.utils.tensorflow_version import series_of

NOTHING = "none expected"
_ANY_BIT = "may change every bit of a training"
_LAST_BITS = "sums may be rounded differently: the last bits may differ from the first step on"
_DATA = "may change a data set that is serialized again"
_PACKAGES = {
    "tensorflow": _ANY_BIT,
    "tensorflow-cpu": _ANY_BIT,
    "tensorflow-intel": _ANY_BIT,
    "tensorflow-macos": _ANY_BIT,
    "tensorflow-estimator": _ANY_BIT,
    "tensorflow-gan": _ANY_BIT,
    "tensorflow-probability": _ANY_BIT,
    "tf-slim": _ANY_BIT,
    "keras": _ANY_BIT,
    "tf-keras": _ANY_BIT,
    "numpy": "may change the latents of the sample grids, and " + _DATA[4:],
    "pillow": _DATA,
    "scipy": _DATA,
    "scikit-learn": _DATA,
    "protobuf": "may change the bytes of records whose features come from user-written handlers",
    "sacred": "none on the result; the record may be written differently",
}
# Known only once TensorFlow is loaded, or meaningless in another process.
_LEFT_OUT = ("python.executable", "tensorflow.git_version", "tensorflow.compiler", "os.platform")
_LEFT_OUT_GROUPS = ("git.", "library_git.", "threads.tensorflow_", "packages.reproducible-ml")
# Known only once a run has loaded the libraries of NumPy and others: compared after the rerun.
_POOLS = "threads.pools."
_HASH_SEED = "PYTHONHASHSEED"
# Series of TensorFlow between which trainings without oneDNN were equal (docs/determinism.md).
_EQUAL_WITHOUT_ONEDNN = ({"2.15", "2.19"},)


@dataclass(frozen=True)
class EnvironmentDifference:
    """One difference between two environments.

    Attributes:
        name: Dotted name, as in the record's ``info["environment"]``.
        recorded: Its value in the record; None if it had none.
        now: Its value now.
        effect: Its expected effect on the bits.
    """

    name: str
    recorded: Any
    now: Any
    effect: str

    def describe(self) -> str:
        """Return the difference in one line."""
        values = ("none" if one is None else one for one in (self.recorded, self.now))
        return "{}: recorded {}, now {}; effect on the bits: {}".format(
            self.name, *values, self.effect
        )


def environment_differences(
    recorded: Mapping[str, Any], now: Mapping[str, Any]
) -> list[EnvironmentDifference]:
    """List every difference, starting with those that may change the result.

    Args:
        recorded: ``info["environment"]`` of a run.
        now: What ``describe_environment`` returns.
    """
    left, right = dict(_facts(recorded)), dict(_facts(now))
    found = [
        EnvironmentDifference(name, left.get(name), right.get(name), _effect(name))
        for name in sorted(left.keys() | right.keys())
        if left.get(name) != right.get(name)
    ]
    return sorted(found, key=lambda one: (one.effect == NOTHING, one.name))


def other_tensorflow(
    recorded: Mapping[str, Any], now: Mapping[str, Any], config: Mapping[str, Any]
) -> str:
    """Return what to expect of a rerun on another series of TensorFlow; empty on the same one.

    Args:
        recorded: ``info["environment"]`` of a run.
        now: What ``describe_environment`` returns.
        config: The run's configuration.
    """
    then, here = ((one.get("tensorflow") or {}).get("version") for one in (recorded, now))
    series = {series_of(str(one)) for one in (then, here)}
    # A configuration without it is of an experiment that does not compute with TensorFlow.
    if not then or not here or len(series) == 1 or "onednn" not in config:
        return ""
    if not config["onednn"] and series in _EQUAL_WITHOUT_ONEDNN:
        expected = "with onednn=False trainings were equal bit for bit, so expect 'identical'"
    else:
        expected = "trainings differed, so expect 'differs'"
    return (
        f"Recorded on TensorFlow {then} (Python {recorded['python']['version']}), executed on "
        f"{here}: where these were compared, {expected}. Data and latents are the same on both."
    )


def library_differences(
    recorded: Mapping[str, Any], again: Mapping[str, Any]
) -> list[EnvironmentDifference]:
    """List the differences in the numeric libraries that both of two runs had loaded at their ends.

    Args:
        recorded: ``info["environment"]`` of a run; an earlier version recorded none of them.
        again: The same of its rerun.
    """
    left, right = _pools(recorded), _pools(again)
    return [
        EnvironmentDifference(name, left[name], right[name], _LAST_BITS)
        # What only one has loaded did not compute the results of both.
        for name in sorted(left.keys() & right.keys())
        if left[name] != right[name]
    ]


def _pools(environment: Mapping[str, Any]) -> dict[str, Any]:
    facts = flat(environment, "")
    return {name: value for name, value in facts.items() if name.startswith(_POOLS)}


def hash_seed_remark(recorded: Mapping[str, Any], again: Mapping[str, Any]) -> str:
    """Return what the hash seeds of two runs that differ may have to do with it; empty if nothing.

    Args:
        recorded: ``info["environment"]`` of a run.
        again: The same of its rerun.
    """
    seeds = [(one.get("variables") or {}).get(_HASH_SEED, "random") for one in (recorded, again)]
    if not recorded or seeds[0] == seeds[1] != "random":
        return ""
    found = "in neither run" if seeds[0] == seeds[1] else f"as {seeds[0]} / {seeds[1]}"
    return (
        f"{_HASH_SEED} was set {found}: the order of sets of strings, and what follows from it, "
        f"may differ from process to process. Sort them, or record with {_HASH_SEED}=0."
    )


def _facts(environment: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in flat(environment, "").items():
        if name in _LEFT_OUT or name.startswith((*_LEFT_OUT_GROUPS, _POOLS)):
            continue
        group, _, rest = name.partition(".")
        # Earlier versions recorded variables that change nothing.
        if group == "variables" and not changes_results(rest):
            continue
        if name == "cpu.flags":
            # One entry for each flag, so that only the differing ones are listed.
            yield from ((f"cpu.flags.{flag}", "present") for flag in value)
        elif value is not None:
            yield name, value


def _effect(name: str) -> str:
    group, _, rest = name.partition(".")
    if group == "packages":
        return _PACKAGES.get(rest, NOTHING)
    if group == "tensorflow":
        return _ANY_BIT
    if group == "cpu" and rest not in ("cores", "usable_cores"):
        return _LAST_BITS
    if group == "threads":
        return _LAST_BITS
    if group == "variables":
        if rest.startswith(("TF_", "XLA_", "ONEDNN_", "DNNL_", "OMP_", "KMP_", "MKL_", "CUDA_")):
            return _ANY_BIT
        if rest.startswith(("OPENBLAS_", "BLIS_", "VECLIB_", "NUMEXPR_", "GOMP_")):
            return _LAST_BITS
        if rest == _HASH_SEED:
            return "the order of sets of strings may differ, and what follows from it"
        if rest.startswith("LD_"):
            return "other libraries may be loaded, and then every bit may change"
    if name in ("os.machine", "os.system", "os.libc"):
        return _LAST_BITS
    return NOTHING
