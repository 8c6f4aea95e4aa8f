"""Commands for a shell whose processes start warm: ``python`` and ``reproducible-ml``.

A page's commands run one after another in a shell, and each would spend seconds on importing
TensorFlow. Here ``python`` is a small client: a server that has imported it forks, and the forked
process gets the client's words, folder, variables and open files, and its end is the client's.
Nothing of this project is imported before, so sources that a run recorded are what it executes.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import types
from pathlib import Path

IMPORTED = [
    "tensorflow",
    "tensorflow_probability",
    "sacred",
    "pandas",
    "matplotlib.pyplot",
    "flask",
]

BEFORE_TENSORFLOW = {"TF_ENABLE_ONEDNN_OPTS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}

# Runs without site-packages, in a few milliseconds. What is no program starts the real Python.
CLIENT = """#!{python} -ISE
import json, os, signal, socket, sys
name, words = os.path.basename(sys.argv[0]), sys.argv[1:]
if name == "python" and not (words and (words[0] in ("-m", "-c") or words[0][0] != "-")):
    os.execv({python!r}, [{python!r}, *words])
server = socket.socket(socket.AF_UNIX)
call = json.dumps([name, words, os.getcwd(), dict(os.environ)]).encode() + b"\\n"
os.chdir({folder!r})
server.connect("server")
socket.send_fds(server, [call[:1]], [0, 1, 2])
server.sendall(call[1:])
answers = server.makefile()
started = int(answers.readline())
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, frame: os.kill(started, number))
code = int(answers.readline())
if code < 0:
    if code != -signal.SIGKILL:
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


@contextlib.contextmanager
def commands(folder):
    """Serve ``python`` and ``reproducible-ml`` from a new folder while the block lasts."""
    folder.mkdir()
    for name in ("python", "reproducible-ml"):
        path = folder / name
        path.write_text(CLIENT.format(python=sys.executable, folder=str(folder)))
        path.chmod(0o755)
    root = Path(__file__).parents[2]
    server = subprocess.Popen(
        [sys.executable, __file__, folder],
        cwd=root,
        stdout=subprocess.PIPE,
        # What imports warn of.
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **BEFORE_TENSORFLOW},
    )
    try:
        assert server.stdout.readline() == "ready\n"
        yield folder
    finally:
        server.kill()
        server.communicate()


def _serve(folder):
    """Answer clients for ever; return in a forked process, with the call that it is to execute."""
    listening = socket.socket(socket.AF_UNIX)
    # A socket's name holds some hundred bytes, the path of a test's folder may be longer.
    os.chdir(folder)
    listening.bind("server")
    listening.listen()
    print("ready", flush=True)
    while True:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        client, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            break
        client.close()
    # One process waits for each call's, so the server never does.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    begun, files, _, _ = socket.recv_fds(client, 1, 3)
    with client.makefile("rb") as rest:
        call = json.loads(begun + rest.readline())
    started = os.fork()
    if started == 0:
        client.close()
        for number, opened in enumerate(files):
            os.dup2(opened, number)
            os.close(opened)
        return call
    for opened in (0, 1, 2, *files):
        os.close(opened)
    client.sendall(f"{started}\n".encode())
    _, status = os.waitpid(started, 0)
    client.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _become(folder, name, words, cwd, environment):
    """Make this process what the interpreter makes of such a call; return what executes it."""
    os.chdir(cwd)
    os.environ.clear()
    # The first of these is what `import reproducible_ml` sets where TensorFlow comes after it.
    os.environ.update({**BEFORE_TENSORFLOW, **environment})
    sys.executable = str(Path(folder) / "python")
    search = list(filter(None, environment.get("PYTHONPATH", "").split(os.pathsep)))
    # What multiprocessing calls this file; a run records every local file that is imported.
    sys.modules.pop("__mp_main__", None)
    # Python itself put this file's folder there.
    sys.path[:1] = search
    if name != "python":
        sys.argv[:] = [str(Path(folder) / name), *words]
        return lambda: sys.exit(importlib.import_module("reproducible_ml.cli").main())
    option, *rest = words
    if option == "-m":
        sys.path.insert(0, cwd)
        sys.argv[:] = rest
        return lambda: runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    if option == "-c":
        sys.path.insert(0, "")
        sys.argv[:] = ["-c", *rest[1:]]
        sys.modules["__main__"] = main = types.ModuleType("__main__")
        return lambda: exec(compile(rest[0], "<string>", "exec"), main.__dict__)
    sys.path.insert(0, str(Path(option).resolve().parent))
    sys.argv[:] = words
    return lambda: runpy.run_path(option, run_name="__main__")


if __name__ == "__main__":
    for module in IMPORTED:
        importlib.import_module(module)
    # A process that ends would look through all of them, and copy them by that.
    gc.freeze()
    _become(sys.argv[1], *_serve(sys.argv[1]))()
