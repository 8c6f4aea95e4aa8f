"""A virtual environment with the Python and the packages that a record names.

It is made once and kept in the user's cache, by a digest of all that it holds. Its Reproducible-ML
is a copy of the one that makes it, so the code that executes and compares is this one's, and
everything below it is the record's.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import reproducible_ml
from reproducible_ml.tracking.reproduce.request import NotComparable
from reproducible_ml.tracking.runs import Run
from reproducible_ml.utils.digests import combined_digest, file_digest
from reproducible_ml.utils.paths import cache_folder
from reproducible_ml.utils.text import counted, cut

_OURS = "reproducible-ml"
_LIBRARY = Path(reproducible_ml.__file__).parent
# As packages() writes names, and versions of PEP 440: an argument of pip and nothing else.
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_VERSION = re.compile(r"[0-9][0-9a-zA-Z.!+_-]*")
_PYTHON = re.compile(r"(3\.\d{1,2})\.\d{1,3}")
# Written last: without it, an environment is one whose installation was interrupted.
_COMPLETE = "complete.json"
_DESCRIBE = (
    "import json; from reproducible_ml.utils.environment import describe_environment; "
    "print(json.dumps(describe_environment()))"
)
_VERSION_OF = "import platform; print(platform.python_implementation(), platform.python_version())"


def recorded_python(run: Run, echo: Callable[[str], None], wheels: Path | None = None) -> str:
    """Return the Python of a virtual environment with the recorded packages; make it if needed.

    Args:
        run: The recorded run.
        echo: Called with a line if it has to be made.
        wheels: Folder with all of the packages; no index is then asked.

    Raises:
        NotComparable: The record does not name its packages, this machine has no such Python, or
            a package can't be installed; the message says what to do.
    """
    version, packages = _needs(run)
    content = {"python": version, "packages": packages, "library": _library_digest()}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
    folder = cache_folder() / "environments" / digest
    python = folder / "bin" / "python"
    with _locked(folder):
        if not (folder / _COMPLETE).is_file():
            echo(
                f"Installing the environment of run {run.id}: Python {version} and "
                f"{counted(len(packages), 'package')}, kept in {folder}."
            )
            shutil.rmtree(folder, ignore_errors=True)
            _make(run, folder, version, packages, wheels)
            (folder / _COMPLETE).write_text(json.dumps(content, indent=1), encoding="utf-8")
    return str(python)


def make_wheels(run: Run, folder: Path, echo: Callable[[str], None]) -> None:
    """Make a wheel of every recorded package, in its recorded environment.

    Args:
        run: The recorded run.
        folder: Where they go.
        echo: Called with each line of progress.

    Raises:
        NotComparable: As ``recorded_python``, or a wheel can't be made.
    """
    python = recorded_python(run, echo)
    echo("Collecting the wheels of its packages.")
    _, packages = _needs(run)
    with _requirements(packages) as file:
        command = [*_pip(python), "wheel", "--quiet", "--no-deps"]
        command += ["--wheel-dir", str(folder.resolve()), "-r", file]
        done = _run(command)
    if done.returncode != 0:
        raise NotComparable(
            f"The wheels of run {run.id} can't be made: pip wheel ended with exit code "
            f"{done.returncode}:\n{_last_lines(done)}"
        )


def described_by(python: str, variables: Mapping[str, str]) -> dict[str, Any]:
    """Return what ``describe_environment`` returns in another Python.

    Args:
        python: Path of the Python.
        variables: Its environment variables.
    """
    done = _run([python, "-c", _DESCRIBE], variables)
    if done.returncode != 0:
        raise NotComparable(
            f"The recorded environment does not start this Reproducible-ML: {_last_line(done)}. "
            "Reproduce the run with the version that recorded it, or without --environment."
        )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _needs(run: Run) -> tuple[str, dict[str, str]]:
    """Return the recorded version of Python and the packages to install."""
    environment = run.environment
    version = str((environment.get("python") or {}).get("version") or "")
    recorded = environment.get("packages") or {}
    if not recorded or not _PYTHON.fullmatch(version):
        raise NotComparable(
            f"The record of run {run.id} does not name its Python and all its packages, so its "
            "environment can't be made. Leave out --environment recorded."
        )
    packages = {str(name): str(one) for name, one in recorded.items() if name != _OURS}
    for name, one in packages.items():
        if not _NAME.fullmatch(name) or not _VERSION.fullmatch(one):
            raise NotComparable(
                f"Run {run.id} names the package {cut(f'{name}=={one}', 80)!r}, which is not the "
                "name and version of a package; its record is damaged or forged."
            )
    return version, packages


def _library_digest() -> str:
    files = {
        str(path.relative_to(_LIBRARY)): file_digest(path)
        for path in _LIBRARY.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    return combined_digest(files)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Wait until no other process makes this environment."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_suffix(".lock"), "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make(
    run: Run, folder: Path, version: str, packages: Mapping[str, str], wheels: Path | None
) -> None:
    uv = _uv()
    python = _python_of(version, uv)
    if python is None and uv is None:
        series = _series(version)
        raise NotComparable(
            f"Run {run.id} was recorded on Python {version}, and this machine has no "
            f"python{series}. Install one, or uv, which takes one when it is needed: "
            "pip install uv"
        )
    if uv is None:
        _install(run, [str(python), "-m", "venv", str(folder)])
    else:
        # uv takes a Python that the machine lacks.
        _install(run, [uv, "venv", "--quiet", "--python", python or version, str(folder)])
    inside = str(folder / "bin" / "python")
    pip = [*_pip(inside), "install", "--quiet"]
    pip = pip if uv is None else [uv, "pip", "install", "--quiet", "--python", inside]
    offline = [] if wheels is None else ["--no-index", "--find-links", str(wheels)]
    with _requirements(packages) as file:
        # The record names every package, so none is added.
        _install(run, [*pip, *offline, "--no-deps", "-r", file])
    _copy_library(inside)


def _pip(python: str) -> list[str]:
    return [python, "-m", "pip", "--disable-pip-version-check"]


@contextmanager
def _requirements(packages: Mapping[str, str]) -> Iterator[str]:
    """Write the packages as pip and uv read them; yield the path."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.writelines(f"{name}=={one}\n" for name, one in packages.items())
        file.flush()
        yield file.name


def _uv() -> str | None:
    beside = Path(sys.executable).parent / "uv"
    return shutil.which("uv") or (str(beside) if beside.is_file() else None)


def _series(version: str) -> str:
    found = _PYTHON.fullmatch(version)
    assert found is not None
    return found.group(1)


def _python_of(version: str, uv: str | None) -> str | None:
    """Return a Python of a version's series, of that very version if there is one."""
    series = _series(version)
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    candidates = [sys.executable, *(str(one) for one in versions.glob(f"{series}.*/bin/python"))]
    named = f"python{series}"
    candidates += [os.path.join(one, named) for one in os.get_exec_path()]
    if uv is not None:
        candidates += _run([uv, "python", "find", version]).stdout.split("\n")[:1]
    same_series = []
    for candidate in dict.fromkeys(filter(os.path.isfile, candidates)):
        found = _run([candidate, "-c", _VERSION_OF]).stdout.split()
        if found == ["CPython", version]:
            return candidate
        if found[:1] == ["CPython"] and found[1].startswith(f"{series}."):
            same_series.append(candidate)
    return same_series[0] if same_series else None


def _install(run: Run, command: Sequence[str]) -> None:
    done = _run(command)
    if done.returncode != 0:
        raise NotComparable(
            f"The environment of run {run.id} can't be installed: "
            f"{' '.join(Path(one).name if one == command[0] else one for one in command[:4])} "
            f"ended with exit code {done.returncode}:\n{_last_lines(done)}\nA package "
            "that is in no index can be given as a file in a folder that PIP_FIND_LINKS or "
            "UV_FIND_LINKS names."
        )


def _copy_library(python: str) -> None:
    """Put this Reproducible-ML into the packages of an environment."""
    where = _run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]).stdout
    packages = Path(where.strip())
    shutil.copytree(
        _LIBRARY, packages / _LIBRARY.name, ignore=shutil.ignore_patterns("__pycache__")
    )
    installed = importlib.metadata.distribution(_OURS)
    described = packages / f"reproducible_ml-{installed.version}.dist-info"
    described.mkdir()
    for name in ("METADATA", "entry_points.txt", "top_level.txt"):
        text = installed.read_text(name)
        if text is not None:
            (described / name).write_text(text, encoding="utf-8")


def _run(
    command: Sequence[str], variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program from the root folder, from which nothing is imported."""
    kept = {
        name: value
        for name, value in (os.environ if variables is None else variables).items()
        if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
    }
    return subprocess.run(
        command, cwd="/", env=kept, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        errors="replace",
    )  # fmt: skip


def _last_lines(done: subprocess.CompletedProcess[str]) -> str:
    return "\n".join(f"  {line}" for line in done.stderr.strip().splitlines()[-5:])


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
