"""Write docs/licences.md: under which licence each package of the two locks may be used.

    .venv/bin/python scripts/licences.py      # in an environment with the extras

What a licence is, each installed package's own metadata says. A package that this environment
does not hold (the lock pins some for one Python only) keeps the row that the page has.
"""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LOCK, EXTRAS_LOCK = ROOT / "requirements.txt", ROOT / "requirements-extras.txt"
PAGE = ROOT / "docs" / "licences.md"

# What a package's own files say where its metadata is silent, mixes its parts, or is out of reach.
READ_IN_FILES = {
    # The GPL is that of an Emacs mode among its sources; no part of what is installed.
    "docutils": "Public Domain AND BSD-2-Clause AND PSF-2.0",
    "namex": "Apache-2.0",
    "ptyprocess": "ISC",
    # For Windows alone.
    "pywin32": "PSF-2.0",
}

# What asks nothing of code that imports it, beyond keeping its notice.
PERMISSIVE = re.compile(
    r"MIT|BSD|Apache|ISC|PSF|Python Software Foundation|ZPL|HPND|Zlib|Unlicense|CNRI|CC0"
    r"|Public Domain"
)
# What asks that changes to the package itself stay open; code that imports it is free.
OPEN_CHANGES = re.compile(r"LGPL|Lesser General Public|MPL|Mozilla")
EXPRESSION = re.compile(r"[A-Za-z0-9.+-]+( (AND|OR|WITH) [A-Za-z0-9.+-]+)*")

TOP = """# Licences of dependencies

Reproducible-ML is under the MIT licence. It imports the packages below and copies none of them.
`make licences` writes this page from the metadata of the packages that `requirements.txt` and
`requirements-extras.txt` pin; it refuses a licence that it cannot place.
"""

OPEN = """\
The LGPL and the MPL. Code that imports these packages unchanged, as this project does, is free of
it; who ships a changed copy ships its source too. No package is under the GPL. The wheels of
NumPy and SciPy hold parts of GCC: libgfortran is under GPL-3.0 with the GCC Runtime Library
Exception, which frees what is linked with it, libquadmath under LGPL-2.1-or-later.
"""


EXTRAS = """\
What `make extras` adds for documentation, notebooks, sweeps, Apache Beam and the benchmark peers.
The project runs without them.
"""


def pinned(lock: Path) -> dict[str, list[str]]:
    """Return name -> versions, as a lock pins them for all Pythons."""
    found: dict[str, list[str]] = {}
    for line in lock.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith((" ", "#")):
            pin = Requirement(line.rstrip(" \\"))
            versions = found.setdefault(canonicalize_name(pin.name), [])
            version = str(pin.specifier).removeprefix("==")
            if version not in versions:
                versions.append(version)
    return found


def installed_licence(name: str, versions: list[str]) -> str | None:
    """Return a package's licence in its own words; None where no pinned version is installed."""
    if name in READ_IN_FILES:
        return READ_IN_FILES[name]
    try:
        package = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None
    if package.version not in versions:
        return None
    facts = {key: package.metadata.get_all(key) or [] for key in ("License-Expression", "License")}
    classifiers = [
        one.rpartition(" :: ")[2]
        for one in package.metadata.get_all("Classifier") or []
        if one.startswith("License ::") and not one.endswith("DFSG approved")
    ]
    text = " ".join(facts["License"]).strip()
    if facts["License-Expression"]:
        return str(facts["License-Expression"][0])
    if classifiers and not EXPRESSION.fullmatch(text):
        return ", ".join(classifiers)
    return text.splitlines()[0] if text else ", ".join(classifiers)


def written_licences() -> dict[str, str]:
    """Return name -> licence, as the page that is there has them."""
    text = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    return dict(re.findall(r"^\| ([a-z0-9-]+) \| [^|]+ \| ([^|]+) \|$", text, re.MULTILINE))


def kind(name: str, licence: str) -> str:
    """Tell which of the page's tables a licence belongs to.

    Raises:
        SystemExit: It is none that is known to go together with the MIT licence.
    """
    words = re.split(r" AND |, (?!Version)", licence)
    others = [word for word in words if not OPEN_CHANGES.search(word)]
    if all(PERMISSIVE.search(word) and "GPL" not in word for word in others):
        return "permissive" if others == words else "open changes"
    raise SystemExit(
        f"Error: The locks pin {name}, whose licence is {licence!r}. Expected one that MIT code "
        "may import: leave the package out, or add the licence to scripts/licences.py."
    )


HEAD = "| package | versions | licence |\n| --- | --- | --- |\n"


def tables(packages: dict[str, list[str]]) -> dict[str, str]:
    """Return kind -> table of these packages.

    Raises:
        SystemExit: A package's licence is unknown, or none that goes with the MIT licence.
    """
    written = written_licences()
    rows: dict[str, list[str]] = {"open changes": [], "permissive": []}
    for name, versions in sorted(packages.items()):
        licence = installed_licence(name, versions)
        licence = written.get(name) if licence is None else licence
        if licence is None:
            raise SystemExit(
                f"Error: {name} is not installed, or pinned for another Python than "
                f"{sys.version.split()[0]}, and docs/{PAGE.name} lacks it. Run 'make extras', or "
                "this script in an environment of that Python."
            )
        rows[kind(name, licence)].append(f"| {name} | {', '.join(versions)} | {licence} |")
    return {one: HEAD + "\n".join(found) + "\n" for one, found in rows.items()}


def page() -> str:
    """Return the page's text.

    Raises:
        SystemExit: A package's licence is unknown, or none that goes with the MIT licence.
    """
    always = pinned(LOCK)
    found = tables(always)
    extras = {
        name: versions for name, versions in pinned(EXTRAS_LOCK).items() if name not in always
    }
    added = tables(extras)
    return "\n".join(
        [
            TOP,
            "## Changes to the package itself must stay open\n",
            OPEN,
            found["open changes"],
            "## Keep the notice\n",
            found["permissive"],
            "## Only with the extras\n",
            EXTRAS,
            "Changes to the package itself must stay open:\n",
            added["open changes"],
            "Keep the notice:\n",
            added["permissive"],
        ]
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"Wrote docs/{PAGE.name}.")
