"""The source files that a run depends on, and their difference from the git commit.

A run records whole packages as they are on disk when it starts, not only the modules imported by
then: this library, the experiment's package, and the packages of the user's own modules that it
has imported, wherever they lie. New and changed files are included; git only tells what they differ
from.
"""

from __future__ import annotations

import fnmatch
import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reproducible_ml.process import LIBRARY as LIBRARY
from reproducible_ml.process import LoadedCode, is_readable, loaded_code
from reproducible_ml.utils.files import md5_of
from reproducible_ml.utils.text import counted

# A larger diff is cut, since the run holds the source files themselves.
LONGEST_DIFF_BYTES = 1_000_000
MOST_CHANGED = 1000
GIT_SECONDS = 30
# Names of files that hold secrets, and of folders of such files. Their lines are in no diff.
SECRET_FILES = (
    *(".env", ".env.*", "*.env", ".envrc", ".netrc", "_netrc", ".pgpass", ".my.cnf", ".npmrc"),
    *(".pypirc", ".htpasswd", ".git-credentials", ".dockercfg", "credentials*", "*.credentials"),
    *("secret.*", "secrets.*", "*.secret", "*.secrets", "secrets", "password*", "passwd*"),
    *(
        "token",
        "token.*",
        "tokens.*",
        "*_token.*",
        "service-account*.json",
        "service_account*.json",
    ),
    *(
        "*.pem",
        "*.key",
        "*.p12",
        "*.pfx",
        "*.jks",
        "*.keystore",
        "*.kdbx",
        "*.ppk",
        "*.asc",
        "*.gpg",
    ),
    *("id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "kubeconfig*", "*.tfvars", "*.tfstate*"),
    *(".ssh", ".aws", ".gnupg", ".kube", ".docker", ".secrets", "_secrets", ".credentials"),
)
# One expression, since a run asks for each of its hundreds of source files.
_SECRET_FILE = re.compile("|".join(map(fnmatch.translate, SECRET_FILES)))
_OF_ONE_CHECKOUT = frozenset(
    f"GIT_{name}"
    for name in (
        *("DIR", "WORK_TREE", "INDEX_FILE", "OBJECT_DIRECTORY", "COMMON_DIR", "NAMESPACE"),
        *("ALTERNATE_OBJECT_DIRECTORIES", "PREFIX", "SHALLOW_FILE"),
    )
)
_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages"})


@dataclass(frozen=True)
class Origin:
    """The place where an experiment is defined.

    Attributes:
        file: The module's file; None in a notebook or at a prompt.
        module: Dotted name that ``python -m`` takes in ``base_dir``; None if there is no file.
        base_dir: The directory that holds the module's top-level package.
        package_dir: That package; None for a script outside any package.
    """

    file: Path | None
    module: str | None
    base_dir: Path
    package_dir: Path | None


def origin_of(module_globals: Mapping[str, Any]) -> Origin:
    """Find the place where a module is defined.

    Args:
        module_globals: ``globals()`` of the module that defines the experiment.
    """
    name = module_globals.get("__file__")
    if name is None or not Path(name).is_file():
        return Origin(None, None, Path.cwd(), None)
    file = Path(name).resolve()
    spec = module_globals.get("__spec__")
    # Under ``python -m package.module`` __name__ is __main__, but the spec keeps the real name.
    module = spec.name if spec is not None else str(module_globals.get("__name__", ""))
    depth = module.count(".") if module != "__main__" else 0
    if depth == 0:
        depth = _package_depth(file)
        module = ".".join([*file.parts[-1 - depth : -1], file.stem])
    base_dir = file.parents[depth]
    package_dir = base_dir / file.relative_to(base_dir).parts[0] if depth else None
    return Origin(file, module, base_dir, package_dir)


def _package_depth(file: Path) -> int:
    depth = 0
    while (file.parents[depth] / "__init__.py").is_file():
        depth += 1
    return depth


def source_files(origin: Origin, loaded: LoadedCode) -> list[Path]:
    """Return every source file that a run of this experiment depends on, sorted.

    Args:
        origin: Where it is defined.
        loaded: The user's own code that the process has loaded. Files of its packages that can't be
            read are added to ``unreadable``.
    """
    packages = {LIBRARY}
    files = set() if origin.file is None else {origin.file}
    if origin.package_dir is not None:
        packages.add(origin.package_dir)
    for path in loaded.files:
        depth = _package_depth(path) if path.suffix == ".py" else 0
        if depth:
            packages.add(path.parents[depth - 1])
        else:
            files.add(path)
    for package in packages:
        for file in _python_files(package):
            (files if is_readable(file) else loaded.unreadable).add(file)
    return sorted(files)


def loaded_files(base_dir: Path) -> list[Path]:
    """Return the user's own source files that this process has imported, sorted.

    These are the Python files of ``loaded_code``, wherever they lie, without this library's.

    Args:
        base_dir: The directory that holds the experiment's top-level package.
    """
    return sorted(file for file in loaded_code(base_dir).files if file.suffix == ".py")


def _python_files(package: Path) -> Iterator[Path]:
    for directory, names, files in os.walk(package):
        names[:] = [name for name in names if name not in _SKIPPED and not name.startswith(".")]
        for name in files:
            path = Path(directory, name)
            # A link to nothing holds no code; Emacs makes one for each file that is being edited.
            if name.endswith(".py") and path.exists():
                yield path.resolve()


def recorded_sources(files: Iterable[Path], base_dir: Path) -> list[tuple[str, str]]:
    """Return ``(path relative to base_dir, MD5)`` of each file, as Sacred records source files."""
    root = os.path.realpath(base_dir)
    return [(os.path.relpath(file, root), md5_of(file)) for file in files]


def late_sources(
    recorded: Iterable[tuple[str, str]], files: Iterable[Path], base_dir: Path, start: float
) -> tuple[list[tuple[str, str]], list[str]]:
    """Compare the source files at a run's end with those of its start.

    Args:
        recorded: What ``recorded_sources`` returned at the start.
        files: What ``source_files`` returns at the end.
        base_dir: The experiment's base directory.
        start: Time of the start, in seconds since 1970.

    Returns:
        The files that were added, in the same form, and the paths of those whose content is not,
        or may not be, what it was at the start: an added file that was written since is one.
    """
    known = dict(recorded)
    added, changed = [], []
    found = recorded_sources((path for path in files if path.is_file()), base_dir)
    for name, digest in found:
        if name not in known:
            added.append((name, digest))
            if os.stat(os.path.join(base_dir, name)).st_mtime > start:
                changed.append(name)
        elif known[name] != digest:
            changed.append(name)
    names = {name for name, _ in found}
    # A file that was removed is not what it was, either.
    gone = (name for name in known if name not in names)
    changed += [name for name in gone if not os.path.isfile(os.path.join(base_dir, name))]
    return added, sorted(changed)


def git_state(directory: Path, ignored: Iterable[Path] = ()) -> dict[str, Any] | None:
    """Describe the git checkout that holds a directory.

    Args:
        directory: Any directory of the checkout.
        ignored: Directories whose untracked files don't count, such as the folder of runs.

    Returns:
        ``root``, ``url``, ``commit`` (None before the first one), ``branch``, ``dirty`` (whether
        anything differs from the commit, new files included), ``changed`` (the paths of what
        differs, with git's two letters) and ``diff``, which holds the changed lines of every
        tracked file but those of ``SECRET_FILES``; None without a checkout or without git.
    """
    top = _git(directory, "rev-parse", "--show-toplevel")
    # The commit of a checkout says nothing of a folder that it ignores, such as an environment.
    if top is None or _git(directory, "check-ignore", "-q", ".") is not None:
        return None
    root = Path(top.strip())
    commit = _git(root, "rev-parse", "--verify", "HEAD")
    changed = _changed(root, [path.resolve() for path in ignored])
    diff = _diff(root) if commit else ""
    cut = len(diff.encode("utf-8", "replace")) > LONGEST_DIFF_BYTES
    return {
        "root": str(root),
        "url": (_git(root, "config", "--get", "remote.origin.url") or "").strip() or None,
        "commit": commit.strip() if commit else None,
        "branch": (_git(root, "symbolic-ref", "--short", "-q", "HEAD") or "").strip() or None,
        "dirty": bool(changed) or commit is None,
        "changed": changed,
        "diff": diff[:LONGEST_DIFF_BYTES] + "\n(cut here)\n" if cut else diff,
    }


def git_refusal(directory: Path) -> str | None:
    """Return in a sentence why git tells nothing of a checkout; None if it does, or there is none.

    Args:
        directory: Any directory of the checkout.
    """
    place = directory.resolve()
    root = next((one for one in (place, *place.parents) if (one / ".git").exists()), None)
    if root is None:
        return None
    try:
        done = _run_git(place, "rev-parse", "--show-toplevel")
    except OSError:
        return f"The commit of {root} is not recorded: git is not installed."
    except subprocess.TimeoutExpired:
        return f"The commit of {root} is not recorded: git did not answer."
    if done.returncode == 0:
        return None
    reason = done.stderr.decode("utf-8", "replace").strip().partition("\n")[0]
    advice = ""
    if "dubious ownership" in reason or "unsafe repository" in reason:
        advice = f" If you trust it: git config --global --add safe.directory {root}"
    return f"The commit of {root} is not recorded: git says {reason!r}.{advice}"


def _diff(root: Path) -> str:
    """Return the changed lines of all tracked files whose names don't say that they are secret."""
    secret = sorted(_secret_names(root))
    left_out = ["--", ":(top)", *(f":(top,exclude,literal){name}" for name in secret)]
    options = ("--no-ext-diff", "--no-color", "HEAD", *(left_out if secret else ()))
    lines = [f"(left out: {name}, whose name is one of secrets)\n" for name in secret]
    return "".join([_git(root, "diff", *options) or "", *lines])


def _secret_names(root: Path) -> set[str]:
    """Return the changed files that may hold secrets, under their old and new names."""
    listed = _git(root, "diff", "--no-ext-diff", "--find-renames", "--name-status", "-z", "HEAD")
    fields = iter((listed or "").split("\0"))
    found = set()
    for status in fields:
        # A renamed or copied file has two names, and the lines of both.
        names = [next(fields, "") for _ in range(2 if status[:1] in ("R", "C") else 1)]
        if any(map(is_secret, names)):
            found.update(names)
    return found


def notices(state: Mapping[str, Any]) -> list[str]:
    """Return what a user must know of a recorded git state, in sentences.

    Args:
        state: What ``git_state`` returned.
    """
    diff = str(state["diff"])
    if not diff:
        return []
    files = sum(line.startswith("diff --git ") for line in diff.splitlines())
    left_out = sum(line.startswith("(left out: ") for line in diff.splitlines())
    text = (
        f"The record holds the changed lines of {counted(files, 'tracked file')} in {state['root']}"
    )
    return [
        f"{text}; {counted(left_out, 'file')} named like secrets left out."
        if left_out
        else f"{text}."
    ]


def is_secret(name: str) -> bool:
    """Tell whether a path's name, or a folder in it, is one of files that hold secrets."""
    return any(map(_SECRET_FILE.match, name.lower().split("/")))


def _changed(root: Path, ignored: list[Path]) -> list[str]:
    text = _git(root, "status", "--porcelain=v1", "-z", "--untracked-files=all")
    if text is None:
        return ["?? (git status failed)"]
    fields = iter(text.split("\0"))
    changed = []
    for field in fields:
        if not field:
            continue
        state, name = field[:2], field[3:]
        if state[0] in "RC":
            next(fields, None)  # the former name
        path = (root / name).resolve()
        if state == "??" and any(one == path or one in path.parents for one in ignored):
            continue
        changed.append(f"{state.strip()} {name}")
    left_out = len(changed) - MOST_CHANGED
    # A folder of images in the checkout would make the list too long for a database.
    return [*changed[:MOST_CHANGED], f"(cut here, {left_out} more)"] if left_out > 0 else changed


def _git(directory: Path, *arguments: str) -> str | None:
    try:
        done = _run_git(directory, *arguments)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None


def _run_git(directory: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    # Variables such as GIT_DIR, which hooks of git set, would lead to another checkout.
    environment = {
        name: value for name, value in os.environ.items() if name not in _OF_ONE_CHECKOUT
    }
    # Without optional locks a run never disturbs a git command that the user runs meanwhile.
    environment.update(GIT_OPTIONAL_LOCKS="0", LC_ALL="C")
    return subprocess.run(
        ["git", "-C", str(directory), *arguments],
        capture_output=True,
        env=environment,
        timeout=GIT_SECONDS,
        check=False,
    )
