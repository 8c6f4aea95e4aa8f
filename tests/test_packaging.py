"""The package as it is installed: locks, ranges, imports, and the script that makes .venv."""

import ast
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.10.13", "3.11.7", "3.12.1", "3.13.0")


def ranges():
    """Return the requirements of setup.py by extra; the runtime's stand under an empty name."""
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    values = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id in ("INSTALL", "EXTRAS")
    }
    return {"": values["INSTALL"], **values["EXTRAS"]}


def pins(lock, python):
    """Return name -> version of what a lock installs on Linux with this Python."""
    environment = {
        "python_version": python.rsplit(".", 1)[0],
        "python_full_version": python,
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    found = {}
    for line in (ROOT / lock).read_text(encoding="utf-8").splitlines():
        if not line or line.startswith((" ", "#")):
            continue
        pin = Requirement(line.rstrip(" \\"))
        if pin.marker is None or pin.marker.evaluate(environment):
            name = canonicalize_name(pin.name)
            assert name not in found, f"{lock} pins {name} twice for Python {python}"
            (specifier,) = pin.specifier
            assert specifier.operator == "==", line
            found[name] = specifier.version
    return found, environment


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(
    ("lock", "extras"),
    [
        ("requirements.txt", ["", "dev"]),
        ("requirements-extras.txt", list(ranges())),
    ],
)
def test_the_lock_holds_every_requirement_of_setup_within_its_range(lock, extras, python):
    found, environment = pins(lock, python)
    for extra in extras:
        for text in ranges()[extra]:
            wanted = Requirement(text)
            if wanted.marker is not None and not wanted.marker.evaluate(environment):
                continue
            name = canonicalize_name(wanted.name)
            assert name in found, f"{lock} lacks {text}; run: make lock"
            assert wanted.specifier.contains(found[name], prereleases=True), text


@pytest.mark.parametrize("python", PYTHONS)
def test_the_locks_agree_wherever_both_name_a_package(python):
    base, _ = pins("requirements.txt", python)
    extras, _ = pins("requirements-extras.txt", python)
    assert base.items() <= extras.items()


LOCKS = ("requirements.txt", "requirements-extras.txt", "requirements-build.txt")


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_of_a_lock_has_hashes_of_its_files(lock):
    text = (ROOT / lock).read_text(encoding="utf-8")
    pinned = re.findall(r"^[a-z0-9].*?(?=^[a-z0-9]|\Z)", text, re.MULTILINE | re.DOTALL)
    assert pinned
    for pin in pinned:
        assert re.search(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$", pin, re.MULTILINE), pin


@pytest.mark.parametrize("python", PYTHONS)
def test_the_constraints_are_the_versions_of_the_lock_without_hashes(python):
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert "--hash" not in text
    assert pins("constraints.txt", python) == pins("requirements-extras.txt", python)
    build, _ = pins("requirements-build.txt", python)
    extras, _ = pins("requirements-extras.txt", python)
    # pip itself is in no other lock.
    assert build.keys() - extras.keys() == {"pip"}
    assert all(extras[name] == version for name, version in build.items() if name != "pip")


# Top-level modules of another name than their distribution's, or that are an essential part of it.
DISTRIBUTIONS = {
    **{"PIL": "pillow", "sklearn": "scikit-learn", "bson": "pymongo", "gridfs": "pymongo"},
    **{"google": "tensorflow", "markupsafe": "jinja2", "werkzeug": "flask", "yaml": "pyyaml"},
}


def imported_distributions():
    """Return the distributions that the package's modules import, wherever in them that stands."""
    found = set()
    for path in (ROOT / "reproducible_ml").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(node.module.partition(".")[0])
    own = {"__future__", "reproducible_ml"}
    spec = {name: importlib.util.find_spec(name) for name in found - own}
    installed = {name for name, one in spec.items() if one is None or "site-pack" in str(one)}
    return {canonicalize_name(DISTRIBUTIONS.get(name, name)) for name in installed}


def test_what_is_required_is_what_is_imported():
    required = {canonicalize_name(Requirement(one).name) for one in ranges()[""]}
    # Sacred and Sacredboard import it without asking for it.
    required.remove("setuptools")
    # TensorFlow's `tf.keras` on Python 3.12 and later, and a part of TF-Probability.
    required -= {"tf-keras", "dm-tree"}
    optional = {"apache-beam", "optuna", "pyarrow", "pyyaml", "tensorflow-datasets"}
    assert imported_distributions() == required | optional
    assert optional <= {
        canonicalize_name(Requirement(one).name) for extra in ranges().values() for one in extra
    }


@pytest.mark.parametrize("lock", ["requirements.txt", "requirements-extras.txt"])
def test_the_lock_names_no_host_and_no_folder(lock):
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert "://" not in text
    assert "--index-url" not in text
    assert "--find-links" not in text
    assert "make lock" in text.splitlines()[1]


# -- docs/licences.md


@pytest.fixture
def licences():
    """Return the script that writes the page, as a module."""
    spec = importlib.util.spec_from_file_location("licences", ROOT / "scripts" / "licences.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_licences_is_that_of_the_lock_and_of_what_is_installed(licences):
    text = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in text.splitlines() if line.count(" | ") == 2]
    versions = {row[0].lstrip("| "): set(row[1].split(", ")) for row in rows}
    wanted = {}
    for python in PYTHONS:
        for name, version in pins("requirements-extras.txt", python)[0].items():
            wanted.setdefault(name, set()).add(version)
    # The lock also pins for other systems and for the first patches of a Python.
    assert wanted.keys() <= versions.keys(), "run: make licences"
    assert all(wanted[name] <= versions[name] for name in wanted), "run: make licences"
    installed = (distribution.name for distribution in importlib.metadata.distributions())
    if sys.version_info[:2] == (3, 11) and "sphinx" in map(str.lower, installed):
        assert text == licences.page(), "run: make licences"


def test_a_package_under_the_gpl_is_refused_by_name(licences):
    with pytest.raises(SystemExit, match=r"pin shiny, whose licence is 'GPL-3.0-only'"):
        licences.kind("shiny", "GPL-3.0-only")
    with pytest.raises(SystemExit, match="Expected one that MIT code may import"):
        licences.kind("secret", "Proprietary")
    with pytest.raises(SystemExit, match="pin silent"):
        licences.kind("silent", "")


def test_a_part_of_a_package_whose_changes_must_stay_open_is_not_hidden_by_the_rest(licences):
    assert licences.kind("tqdm", "MPL-2.0 AND MIT") == "open changes"
    assert licences.kind("isal", "PSF-2.0") == "permissive"
    with pytest.raises(SystemExit, match="AGPL"):
        licences.kind("both", "MIT AND AGPL-3.0 AND LGPL-2.1-only")


def modules_after(statement):
    """Return the top-level modules that a fresh process holds after this import."""
    script = f"import sys\n{statement}\nprint(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_heavy():
    loaded = modules_after("import reproducible_ml")
    assert not loaded & {"tensorflow", "numpy", "pandas", "sacred", "pymongo", "click", "scipy"}


@pytest.mark.parametrize("package", ["handlers", "datasets", "utils"])
def test_tensorflow_loads_only_where_a_record_is_written_or_read(package):
    assert "tensorflow" not in modules_after(f"import reproducible_ml.{package}")


@pytest.mark.parametrize("package", ["handlers", "datasets.serialize", "input_fn", "models"])
def test_the_library_works_without_sacred_and_mongodb(package):
    assert not modules_after(f"import reproducible_ml.{package}") & {"sacred", "pymongo"}


# -- scripts/make_venv.sh: every way in which it cannot start is one sentence. The installation
# itself needs the package index, so CI's own first stage is its test.


def run_script(folder, name, arguments, pythons, variables):
    """Run a script in a folder whose PATH has only the shell's tools and these Pythons."""
    path = folder / "bin"
    path.mkdir()
    for tool in ("cat", "cksum", "tr", "grep", "mkdir", "rm", "sh", "uname", "head"):
        (path / tool).symlink_to(
            f"/bin/{tool}" if Path(f"/bin/{tool}").exists() else f"/usr/bin/{tool}"
        )
    for python, script in pythons:
        (path / python).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (path / python).chmod(0o755)
    for lock in (*LOCKS, "setup.py"):
        (folder / lock).write_text("", encoding="utf-8")
    environment = {"PATH": str(path), "HOME": str(folder), **variables}
    command = ["/bin/sh", str(ROOT / "scripts" / name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)


def make_venv(folder, *pythons, **variables):
    """Run ``make_venv.sh`` where there are only these Pythons."""
    return run_script(folder, "make_venv.sh", [".venv", "requirements.txt"], pythons, variables)


def sentence(done):
    """Return the single line that the refused script printed."""
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


TOO_NEW = ("python3", 'case "$2" in *"3, 8"*) exit 0;; *) exit 1;; esac')
SHIM = ("python3.10", "echo 'pyenv: python3.10: command not found' >&2; exit 127")
SYSTEMS = {
    "debian:12": "apt-get install python3.11 python3.11-venv",
    "debian:13": "conda or pyenv",
    "ubuntu:24.04": "ppa:deadsnakes/ppa",
    "ubuntu:22.04": "apt-get install python3.10 python3.10-venv",
}


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_machine_where_no_python_can_be_taken_is_told_what_it_can_install(tmp_path, system):
    name, _, version = system.partition(":")
    release = tmp_path / "os-release"
    release.write_text(f"ID={name}\nVERSION_ID={version}\nPRETTY_NAME='The {name}'\n")
    uv = ("uv", "echo 'error: no route to host' >&2; exit 2")
    done = make_venv(tmp_path, SHIM, TOO_NEW, uv, OS_RELEASE=str(release))
    assert done.returncode == 1
    *_, told, error = done.stderr.splitlines()
    assert told == "error: no route to host"
    assert error.startswith("Error: no Python 3.11 could be taken (uv's message stands above).")
    assert SYSTEMS[system] in error


def test_without_uv_and_without_any_python_the_sentence_says_so(tmp_path):
    done = make_venv(tmp_path, CONDA_EXE="/opt/conda/bin/conda")
    assert "there is neither uv nor a Python to install it with" in sentence(done)
    assert "conda create --prefix ./.conda python=3.11" in done.stderr


def test_a_python_is_taken_by_uv_from_a_mirror_where_none_fits(tmp_path):
    """The mirror's Python is the tests' own, behind a script."""
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("uv is not installed: pip install uv")
    made = tmp_path / "made" / "python"
    (made / "bin").mkdir(parents=True)
    (made / "lib" / "python3.11").mkdir(parents=True)
    (data,) = Path(sysconfig.get_path("stdlib")).glob("_sysconfigdata_*.py")
    shutil.copy(data, made / "lib" / "python3.11")
    (made / "bin" / "python3.11").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (made / "bin" / "python3.11").chmod(0o755)
    (made / "bin" / "python3").symlink_to("python3.11")
    archive = shutil.make_archive(str(tmp_path / "python"), "gztar", made.parent, "python")
    digest = hashlib.sha256(Path(archive).read_bytes()).hexdigest()
    machine = {"x86_64": "x86_64", "aarch64": "aarch64"}[platform.machine()]
    offered = {
        **{"name": "cpython", "arch": {"family": machine, "variant": None}, "os": "linux"},
        **{"libc": "gnu", "major": 3, "minor": 11, "patch": 9, "prerelease": "", "variant": None},
        **{"url": f"file://{archive}", "sha256": digest, "build": "20240814"},
    }
    listed = tmp_path / "downloads.json"
    listed.write_text(json.dumps({f"cpython-3.11.9-linux-{machine}-gnu": offered}))
    link = ("uv", f'exec {uv} "$@"')
    variables = {"UV_PYTHON_DOWNLOADS_JSON_URL": str(listed)}
    done = run_script(tmp_path, "take_python.sh", ["3.11"], [TOO_NEW, link], variables)
    (python,) = done.stdout.splitlines()
    assert "since none here fits" in done.stderr
    assert python.startswith(str(tmp_path / ".python" / "cpython-3.11.9"))
    version = subprocess.run([python, "-V"], capture_output=True, text=True, check=True).stdout
    assert version == f"Python {platform.python_version()}\n"


def test_a_python_without_venv_is_told_which_package_brings_it(tmp_path):
    bare = ("python3.11", 'case "$2" in *ensurepip*) exit 1;; *) [ "$3" = 3.11 ];; esac')
    assert "apt-get install python3.11-venv" in sentence(make_venv(tmp_path, bare))


def test_a_python_named_by_hand_must_fit(tmp_path):
    line = sentence(make_venv(tmp_path, PYTHON="/nonexistent/python3.14"))
    assert line.startswith("Error: PYTHON=/nonexistent/python3.14 is no Python 3.10 to 3.13")


def test_two_installations_at_once_are_refused(tmp_path):
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "installing").write_text(f"{os.getpid()}\n", encoding="utf-8")
    assert f"process {os.getpid()} is installing into .venv" in sentence(make_venv(tmp_path))


def test_an_environment_of_another_python_is_not_overwritten(tmp_path):
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    python = tmp_path / ".venv" / "bin" / "python"
    python.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    python.chmod(0o755)
    assert "make clean" in sentence(make_venv(tmp_path))
    assert python.exists()


# -- scripts/audit.sh, with a program in pip-audit's place: the real one asks the internet.

CANARY = "jinja2 2.4.1 GHSA-1 fixed in 2.7.2"


@pytest.mark.parametrize(
    ("canary", "lock", "code", "said"),
    [
        # The canary is found and the lock has nothing.
        (f"echo '{CANARY}'; exit 1", "exit 0", 0, "lock.txt: no known vulnerabilities."),
        (f"echo '{CANARY}'; exit 1", "echo 'old 1.0 GHSA-2'; exit 1", 1, "old 1.0 GHSA-2"),
        # Silence that means nothing: of a mirror, of a network that is away before and during it.
        ("exit 0", "exit 0", 2, "answers without advisories, not even those of Jinja2 2.4.1"),
        ("echo unreachable >&2; exit 1", "exit 0", 2, "so nothing was audited: unreachable"),
        (f"echo '{CANARY}'; exit 1", "echo gone >&2; exit 1", 2, "lock.txt was not audited: gone"),
    ],
)
def test_an_audit_says_none_only_where_it_could_have_found_one(tmp_path, canary, lock, code, said):
    program = tmp_path / "build" / "audit" / "bin" / "pip-audit"
    program.parent.mkdir(parents=True)
    branches = f'case "$*" in *lock.txt*) {lock};; *) {canary};; esac'
    program.write_text(f"#!/bin/sh\n{branches}\n", encoding="utf-8")
    program.chmod(0o755)
    (tmp_path / "lock.txt").touch()
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "venv" / "bin" / "python").symlink_to(sys.executable)
    command = ["sh", str(ROOT / "scripts" / "audit.sh"), "venv", "lock.txt"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert said in (done.stdout + done.stderr)


def test_an_audit_without_an_environment_says_how_to_make_it(tmp_path):
    command = ["sh", str(ROOT / "scripts" / "audit.sh"), "venv"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "Error: venv holds no Python; make it with 'make environment'.\n"


# -- scripts/find_pythons.sh


def test_pythons_are_found_on_the_path_and_among_those_of_pyenv(tmp_path):
    # As pyenv's shims do for a version that is not chosen.
    shim = ("python3.10", "echo 'pyenv: python3.10: command not found' >&2; exit 127")
    own = ("python3.11", '[ "$3" = 3.11 ]')
    kept = tmp_path / "py env" / "versions" / "3.12.1" / "bin" / "python"
    kept.parent.mkdir(parents=True)
    kept.write_text('#!/bin/sh\n[ "$3" = 3.12 ]\n', encoding="utf-8")
    kept.chmod(0o755)
    done = run_script(
        tmp_path, "find_pythons.sh", [], [shim, own], {"PYENV_ROOT": str(tmp_path / "py env")}
    )
    assert done.stdout.splitlines() == ["python3.11", str(kept)]
    assert done.stderr == ""
