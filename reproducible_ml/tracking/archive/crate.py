"""The description of a packed run as a Process Run Crate, in the terms of schema.org.

The profile is https://w3id.org/ro/wfrun/process/0.5 on RO-Crate 1.1: an action (the run) with its
instrument (the source files), object (what it read) and result (the record), as JSON-LD.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reproducible_ml import __version__
from reproducible_ml.tracking.runs import Run

_CONTEXT = "https://w3id.org/ro/crate/1.1/context"
_CRATE = "https://w3id.org/ro/crate/1.1"
_PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
REQUIREMENTS = "environment/requirements.txt"
BILL = "environment/bom.cdx.json"
_ACTION = "#run"
_PYTHON = "#python"
LICENCE = "Ask the author before you use it for more than checking the result."


def crate_of(
    run: Run, folder: Path, places: Mapping[str, str], described: Mapping[str, str]
) -> dict[str, Any]:
    """Describe a packed run.

    Args:
        run: The run.
        folder: The contents of the archive, without this description.
        places: Key of each packed input -> its place in the archive.
        described: Place of a packed data set -> the file that describes it.

    Returns:
        What ``ro-crate-metadata.json`` holds.
    """
    record = f"runs/{run.id}/"
    environment = run.environment
    python = str((environment.get("python") or {}).get("version") or "")
    inputs = {
        place + ("/" if (folder / place).is_dir() else ""): key for key, place in places.items()
    }
    started, ended = (iso_time(run.entry.get(name)) for name in ("start_time", "stop_time"))
    files = {
        REQUIREMENTS: ("text/plain", "Packages of the run, as pip reads them"),
        BILL: ("application/json", "Packages of the run, in CycloneDX 1.6"),
        **{
            name: ("application/ld+json", f"Description of {place} in Croissant 1.0")
            for place, name in described.items()
        },
    }
    parts = [record, *files, *inputs]
    root = {
        "@id": "./",
        "@type": "Dataset",
        "conformsTo": {"@id": _PROFILE},
        "name": f"Run {run.id} of {run.experiment}",
        "description": f"A recorded run of {run.experiment} that can be executed again with "
        f"Reproducible-ML {__version__}: reproducible-ml reproduce FILE.zip",
        "datePublished": ended or started,
        "license": {"@id": "#licence"},
        "hasPart": [{"@id": one} for one in parts],
        "mentions": {"@id": _ACTION},
    }
    action = {
        "@id": _ACTION,
        "@type": "CreateAction",
        "name": f"Run {run.id} of {run.experiment}",
        "instrument": {"@id": f"#{run.experiment}"},
        "description": "An experiment, recorded by Reproducible-ML with its sources and digests.",
        "actionStatus": "http://schema.org/CompletedActionStatus",
        **({"object": _one_or_all([{"@id": one} for one in inputs])} if inputs else {}),
        "result": {"@id": record},
        **({"startTime": started} if started else {}),
        **({"endTime": ended} if ended else {}),
    }
    software = {
        "@id": f"#{run.experiment}",
        "@type": "SoftwareApplication",
        "name": run.experiment,
        "softwareRequirements": [
            {"@id": _PYTHON},
            {"@id": REQUIREMENTS},
        ],
        "softwareVersion": _digest(run),
    }
    return {
        "@context": _CONTEXT,
        "@graph": [
            {
                "@id": "ro-crate-metadata.json",
                "@type": "CreativeWork",
                "conformsTo": {"@id": _CRATE},
                "about": {"@id": "./"},
            },
            root,
            {"@id": _PROFILE, "@type": "CreativeWork", "name": "Process Run Crate",
             "version": "0.5"},
            action,
            software,
            {"@id": "#licence", "@type": "CreativeWork", "name": "No licence stated",
             "description": LICENCE},
            {"@id": _PYTHON, "@type": "ComputerLanguage", "name": "Python", "version": python,
             "url": "https://www.python.org/"},
            {"@id": record, "@type": "Dataset", "name": f"The record of run {run.id}",
             "description": "Configuration, result, metrics, digests, environment and output."},
            *({"@id": name, "@type": "File", "name": what, "encodingFormat": kind}
              for name, (kind, what) in files.items()),
            *(_input(one, key, folder) for one, key in inputs.items()),
        ],
    }  # fmt: skip


def _input(place: str, key: str, folder: Path) -> dict[str, Any]:
    kind = "Dataset" if place.endswith("/") else "File"
    found = {
        "@id": place,
        "@type": kind,
        "name": key,
        "description": f"What the run read as {key}.",
    }
    if kind == "File":
        found["contentSize"] = str((folder / place).stat().st_size)
    return found


def iso_time(value: Any) -> str:
    """Return a recorded time in ISO 8601, to the second; empty for none."""
    text = value.isoformat() if hasattr(value, "isoformat") else str(value or "")
    # Sacred records UTC, with fractions of a second and without saying so.
    return text and f"{text[:19]}+00:00"


def _one_or_all(values: list[Any]) -> Any:
    """Return a single value alone, as RO-Crate recommends."""
    return values[0] if len(values) == 1 else values


def _digest(run: Run) -> str:
    digest = (run.facts.get("seal") or {}).get("sources")
    return f"sources {digest}" if digest else "not sealed"
