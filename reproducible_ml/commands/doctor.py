"""``reproducible-ml doctor``: check the installation, and say what to do about each problem."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import click

from reproducible_ml.commands.layout import ALWAYS, echo, store_options
from reproducible_ml.utils.errors import ReproducibleMLError

DISTRIBUTION = "reproducible-ml"
# Series of TensorFlow -> what its line promises, beside what every line does: that a run repeats.
PROMISES = {
    "2.15": "with an Estimator of its own; the digests of the pages are of it",
    "2.19": "Estimator put back; bits of its own, and 2.15's with onednn=False",
    "2.21": "Estimator put back; bits of its own",
}
# TensorFlow starts within 20 s on a slow disk.
TENSORFLOW_SECONDS = 120
# A run of MNIST with its checkpoints takes a few hundred MB.
LITTLE_BYTES, TOO_LITTLE_BYTES = 5_000_000_000, 500_000_000
THREAD_VARIABLES = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


class Finding(NamedTuple):
    """The result of one check; ``level`` is ok, warn or fail."""

    level: str
    sentence: str


def check_python() -> Finding:
    """Check that there is a line of TensorFlow for this Python."""
    from reproducible_ml.utils.tensorflow_version import describe_lines, series_for

    found = ".".join(map(str, sys.version_info[:3]))
    if series_for(sys.version_info[:2]) is None:
        return Finding("fail", f"Python {found}: {describe_lines()}; install one of these.")
    return Finding("ok", f"Python {found} ({sys.executable})")


def check_tensorflow() -> Finding:
    """Check that TensorFlow is of the series for this Python, without importing it."""
    from reproducible_ml.utils.tensorflow_version import require_tensorflow, series_of

    try:
        found = require_tensorflow()
        return Finding("ok", f"TensorFlow {found}: {PROMISES[series_of(found)]}")
    except ReproducibleMLError as error:
        return Finding("fail", str(error))


def check_packages() -> Finding:
    """Compare the installed packages with the ranges that this project requires."""
    from packaging.requirements import Requirement

    try:
        stated = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return Finding("warn", f"{DISTRIBUTION} is not installed: run pip install -e . there.")
    wrong, good = [], 0
    for requirement in map(Requirement, stated):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        found = _version(requirement.name)
        if found is None:
            wrong.append(f"{requirement.name} is missing")
        elif not requirement.specifier.contains(found, prereleases=True):
            wrong.append(f"{requirement.name} {found} is not {requirement.specifier}")
        else:
            good += 1
    if wrong:
        return Finding("fail", f"{'; '.join(wrong)}: run pip install -r requirements.txt.")
    return Finding("ok", f"{good} packages within their ranges")


def check_lock() -> Finding:
    """Compare the installed packages with the lock file, with which equal bits were measured."""
    from packaging.requirements import Requirement

    path = Path(__file__).resolve().parents[2] / "requirements.txt"
    if not path.is_file():
        return Finding("ok", "no lock file with this installation; runs record their versions")
    other = []
    for line in path.read_text(encoding="utf-8").splitlines():
        text = line.split("#")[0].rstrip("\\ ").strip()
        if not text or text.startswith("-"):
            continue
        requirement = Requirement(text)
        found = _version(requirement.name)
        applies = requirement.marker is None or requirement.marker.evaluate()
        if applies and found and not requirement.specifier.contains(found, prereleases=True):
            other.append(f"{requirement.name} {found}")
    if not other:
        return Finding("ok", "no installed package differs from requirements.txt")
    named = ", ".join(other[:5]) + (f" and {len(other) - 5} more" if len(other) > 5 else "")
    return Finding(
        "warn",
        f"not as in requirements.txt: {named}. Other versions may give other bits; for the tested "
        "ones run pip install -r requirements.txt.",
    )


def check_script() -> Finding:
    """Check whose console script ``sacredboard`` is; two packages install one of that name."""
    path = shutil.which("sacredboard")
    instead = "Use reproducible-ml board, the same command under a unique name"
    if path is None:
        return Finding("warn", f"there is no command sacredboard on the PATH. {instead}.")
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        return Finding("warn", f"{path} cannot be read ({error.strerror}). {instead}.")
    if "reproducible_ml" not in text:
        return Finding(
            "warn",
            f"{path} belongs to another package, most likely Sacredboard, and fails with pymongo "
            f"4. {instead}, or run pip install --force-reinstall --no-deps {DISTRIBUTION}.",
        )
    here = Path(sys.executable).parent
    if Path(path).parent.resolve() != here.resolve():
        return Finding("warn", f"{path} belongs to another environment than {here}. {instead}.")
    return Finding("ok", f"{path} belongs to this project")


def check_database(address: str) -> Finding:
    """Ask the database for its version; since runs don't need one, no problem here is fatal."""
    import pymongo
    from pymongo.errors import OperationFailure, PyMongoError

    from reproducible_ml.tracking.mongo import CHECK_SECONDS, parse_mongo, timeouts

    target = parse_mongo(address)
    try:
        client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(
            target.uri, **timeouts(CHECK_SECONDS, CHECK_SECONDS)
        )
        with client:
            found = client.server_info()["version"]
            client[target.database][target.collection].find_one({}, ["_id"])
    except OperationFailure as error:
        return Finding(
            "warn",
            f"MongoDB {target.shown} does not allow reading its runs (code {error.code}): check "
            "user, password and roles.",
        )
    except PyMongoError as error:
        return Finding(
            "warn",
            f"MongoDB {target.shown} does not answer ({type(error).__name__}). Runs are kept in "
            "runs/ anyway; start a database with docker compose up -d mongo, then run "
            "reproducible-ml sync.",
        )
    return Finding("ok", f"MongoDB {found} at {target.shown}")


def check_folder(folder: Path) -> Finding:
    """Check that runs can be written, and how much space is left."""
    place = folder
    # A folder that does not exist yet will be created in its closest existing parent.
    while not place.exists():
        place = place.parent
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".doctor-"):
            pass
    except OSError as error:
        return Finding(
            "fail",
            f"{place.absolute()} cannot be written ({error.strerror}): choose another with -F.",
        )
    free = shutil.disk_usage(place).free
    sentence = f"{folder} can be written, {free / 1e9:.1f} GB free"
    if free < TOO_LITTLE_BYTES:
        return Finding("fail", f"{sentence}: too little for a run; free some space.")
    if free < LITTLE_BYTES:
        return Finding("warn", f"{sentence}: may be too little for a long run's checkpoints.")
    return Finding("ok", sentence)


def check_threads() -> Finding:
    """Show the thread settings, on which the bits of a result depend."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    set_to = [f"{name}={os.environ[name]}" for name in THREAD_VARIABLES if name in os.environ]
    given = f"; {', '.join(set_to)}" if set_to else ""
    return Finding("ok", f"{usable} of {os.cpu_count()} CPUs usable{given}")


def check_tensorflow_runs() -> Finding:
    """Import TensorFlow in a separate process and let it compute something."""
    code = (
        "import tensorflow as tf; x = tf.ones([64, 64]); assert float(tf.reduce_sum(x @ x)) == "
        "64.0**3; import tensorflow_gan, tensorflow_probability; "
        "print(tf.__version__, len(tf.config.list_physical_devices('GPU')))"
    )
    try:
        ended = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=TENSORFLOW_SECONDS,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
    except subprocess.TimeoutExpired:
        return Finding("fail", f"TensorFlow did not start within {TENSORFLOW_SECONDS} s.")
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"])[-1]
        return Finding(
            "fail",
            f"TensorFlow does not run: {last}. Run pip install -r requirements.txt again.",
        )
    found, gpus = ended.stdout.split()[-2:]
    used = (
        "it sees no GPU, so runs use the CPU"
        if gpus == "0"
        else f"it sees {gpus} GPU(s) and uses them, where no run was ever measured: bits differ "
        "from a CPU's and may not repeat; CUDA_VISIBLE_DEVICES=-1 keeps to the CPU"
    )
    return Finding("ok", f"TensorFlow {found} and TF-GAN load and compute; {used}")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def examine(address: str, folder: Path, deep: bool) -> Iterator[tuple[str, Finding]]:
    """Yield the name and the finding of each check as soon as it is done."""
    checks: list[tuple[str, Callable[[], Finding]]] = [
        ("python", check_python),
        ("tensorflow", check_tensorflow),
        ("packages", check_packages),
        ("lock", check_lock),
        ("sacredboard", check_script),
        ("mongodb", lambda: check_database(address)),
        ("runs", lambda: check_folder(folder)),
        ("cpu", check_threads),
    ]
    if deep:
        checks.append(("computing", check_tensorflow_runs))
    for name, check in checks:
        yield name, check()


@click.command()
@store_options(variable=ALWAYS)
@click.option("--deep", is_flag=True, help="Also import TensorFlow and compute (20 s).")
def command(folder: str | None, mongo: str | None, deep: bool) -> None:
    """Check this installation and say what to fix.

    This includes the database given with -m (by default sacred on this machine), and whether runs
    can be written to the folder given with -F.

    Exits with 1 if something must be fixed; warnings can be ignored.
    """
    from reproducible_ml.tracking.mongo import DEFAULT_DATABASE
    from reproducible_ml.tracking.runs import DEFAULT_FOLDER

    failed = 0
    for name, finding in examine(mongo or DEFAULT_DATABASE, Path(folder or DEFAULT_FOLDER), deep):
        echo(f"{finding.level:<5}{name:<12}{finding.sentence}")
        failed += finding.level == "fail"
    if failed:
        sys.exit(1)
