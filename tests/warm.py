"""Processes that start warm: forked from a server that has imported what takes long to import.

``python -m experiments.mnist_wgan`` spends half its time on importing TensorFlow. The server does
so once; a process forked from it, before TensorFlow has started any thread, is as fresh as one that
is started from the shell. Tests that promise something about starting, of another copy of the
package, or about signals start real processes instead.
"""

import atexit
import multiprocessing
import multiprocessing.forkserver
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "reproducible_ml.models.gan.build",
        "reproducible_ml.models.gan.training",
        "reproducible_ml.tracking.sacred_parts",
        # What experiments import when they run.
        "pandas",
        "sklearn.datasets",
    ]
)


def process(target, *arguments, **keywords):
    """Return a process that is not started yet and will call the function."""
    # What an experiment sets before it imports TensorFlow; some processors have it off else.
    with mock.patch.dict(os.environ, TF_ENABLE_ONEDNN_OPTS="1"):
        multiprocessing.forkserver.ensure_running()
    return CONTEXT.Process(target=target, args=arguments, kwargs=keywords)


def run(module, *arguments, cwd, environment=None):
    """Execute ``python -m module`` to its end; return what ``subprocess.run`` does."""
    environment = dict(os.environ if environment is None else environment)
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("output", "errors")]
        started = process(_execute, module, arguments, str(cwd), environment, files)
        started.start()
        started.join()
        output, errors = (path.read_text(encoding="utf-8") for path in files)
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.CompletedProcess(command, started.exitcode, output, errors)


def _execute(module, arguments, cwd, environment, files):
    """Make this process what the interpreter makes of such a call, and execute the module."""
    for number, path in enumerate(files, 1):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    search = environment.get("PYTHONPATH", "")
    sys.path[:0] = [os.getcwd(), *filter(None, search.split(os.pathsep))]
    sys.argv[:] = ["-m", *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        # A forked process leaves them out, an interpreter does not.
        atexit._run_exitfuncs()
