"""A description of the machine and its software, on which results may depend, too.

Nothing is imported for it. TensorFlow's build is read from its files; facts that only a loaded
TensorFlow knows are added if it is loaded.
"""

from __future__ import annotations

import ast
import importlib.metadata
import os
import platform
import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from reproducible_ml.utils.redaction import HIDDEN, SECRET_NAME, redact

# Variables of libraries that compute; no other variable is recorded.
_OF_LIBRARIES = re.compile(
    r"^(TF|XLA|OMP|KMP|GOMP|MKL|OPENBLAS|BLIS|VECLIB|NUMEXPR|CUDA|CUDNN|NVIDIA|NCCL|DNNL|ONEDNN)_"
    r"|^(LD_PRELOAD|LD_LIBRARY_PATH|PYTHON\w+|MALLOC_\w+|LANG|LC_\w+|TZ)$"
    r"|^REPRODUCIBLE_ML_"
)
# Names that look like these and change no result: those of Terraform, which begin like
# TensorFlow's, and Python's that concern a prompt, caches or messages.
_HARMLESS = re.compile(
    r"^TF_(CLI|VAR|LOG|TOKEN|ACC|CLOUD|PLUGIN|REGISTRY|STATE|PROVIDER|REATTACH)(_|$)"
    r"|^TF_(DATA_DIR|WORKSPACE|INPUT|IN_AUTOMATION|IGNORE|APPEND_USER_AGENT)$"
    r"|^TF_CPP_(MIN_LOG_LEVEL|MIN_VLOG_LEVEL|MAX_VLOG_LEVEL|VMODULE|LOG_THREAD_ID)$"
    r"|^PYTHON(STARTUP|_?HISTORY|HISTFILE|BREAKPOINT|DONTWRITEBYTECODE|PYCACHEPREFIX|UNBUFFERED"
    r"|FAULTHANDLER|_COLORS|_BASIC_REPL|VERBOSE|INSPECT|PROFILEIMPORTTIME|NODEBUGRANGES)$"
)


def changes_results(name: str) -> bool:
    """Return whether an environment variable can change a result."""
    return bool(_OF_LIBRARIES.search(name)) and not _HARMLESS.search(name)


def describe_environment(variables: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return everything about a process that a result may depend on, as JSON types.

    Args:
        variables: The environment variables of the process; by default of this one.
    """
    return {
        "python": describe_python(),
        "os": describe_os(),
        "cpu": describe_cpu(),
        "threads": describe_threads(variables),
        "tensorflow": describe_tensorflow(),
        "variables": result_variables(variables),
        "packages": packages(),
    }


def describe_python() -> dict[str, Any]:
    """Return the interpreter's version, implementation, compiler and path."""
    return {
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "compiler": platform.python_compiler(),
        "executable": sys.executable,
    }


def describe_os() -> dict[str, Any]:
    """Return the system, kernel, C library and machine type."""
    return {
        "system": platform.system(),
        "release": platform.release(),
        "platform": platform.platform(),
        "libc": " ".join(platform.libc_ver()).strip(),
        "machine": platform.machine(),
    }


def describe_cpu() -> dict[str, Any]:
    """Return the processor's model, instruction set flags and number of cores."""
    model, flags = _proc_cpuinfo()
    return {
        "model": model or platform.processor() or "unknown",
        "flags": flags,
        "cores": os.cpu_count(),
        # A container or taskset may allow fewer.
        "usable_cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
    }


def _proc_cpuinfo() -> tuple[str, list[str]]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "", []
    fields: dict[str, str] = {}
    for line in text.split("\n\n")[0].splitlines():
        name, _, value = line.partition(":")
        fields[name.strip()] = value.strip()
    flags = fields.get("flags") or fields.get("Features") or ""
    return fields.get("model name", ""), sorted(flags.split())


def describe_threads(variables: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return the thread counts of numeric libraries, as far as the environment sets them."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    threads: dict[str, Any] = {name: variables.get(name) for name in names}
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is not None:
        settings = tensorflow.config.threading
        threads["tensorflow_intra_op"] = settings.get_intra_op_parallelism_threads()
        threads["tensorflow_inter_op"] = settings.get_inter_op_parallelism_threads()
    return threads


def describe_tensorflow() -> dict[str, Any] | None:
    """Return the version and build of the installed TensorFlow; None if it is not installed.

    ``git_version`` and ``compiler`` are included only if TensorFlow is loaded.
    """
    try:
        distribution = importlib.metadata.distribution("tensorflow")
    except importlib.metadata.PackageNotFoundError:
        return None
    found: dict[str, Any] = {"version": distribution.version, "build": _build_info(distribution)}
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is not None:
        found["git_version"] = str(tensorflow.version.GIT_VERSION)
        found["compiler"] = str(tensorflow.version.COMPILER_VERSION)
    return found


def _build_info(distribution: importlib.metadata.Distribution) -> dict[str, Any]:
    """Read the literals in TensorFlow's ``build_info.py`` without running it."""
    path = Path(str(distribution.locate_file("tensorflow/python/platform/build_info.py")))
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError):
        return {}
    for node in ast.walk(tree):
        # The file has ``build_info = OrderedDict([(name, value), ...])``, or a plain dictionary.
        if isinstance(node, (ast.Dict, ast.List)):
            try:
                return {str(key): value for key, value in dict(ast.literal_eval(node)).items()}
            except (TypeError, ValueError):
                continue
    return {}


def result_variables(variables: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment variables that can change results, with secrets shown as ``***``."""
    return {
        name: HIDDEN if SECRET_NAME.search(name) else redact(text)
        for name, text in sorted(variables.items())
        if changes_results(name)
    }


def packages() -> dict[str, str]:
    """Return the version of every installed distribution, by normalized name."""
    # A stage within a stage asks again; an installation changes the time of its folder.
    # The working directory changes for other reasons.
    installed = [path for path in sys.path if path.endswith("-packages")]
    return dict(_packages(tuple((path, _time_of(path)) for path in installed)))


def _time_of(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=1)
def _packages(places: tuple[tuple[str, int], ...]) -> dict[str, str]:
    del places
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        # When imported, setuptools adds the packages that it bundles to the path.
        if name and "_vendor" not in Path(str(distribution.locate_file(""))).parts:
            # Of several versions, Python imports the first one on the path.
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), distribution.version)
    return dict(sorted(found.items()))
