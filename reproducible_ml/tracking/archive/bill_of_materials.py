"""The packages of a run as a bill of materials in CycloneDX 1.6 (https://cyclonedx.org)."""

from __future__ import annotations

from typing import Any

from reproducible_ml import __version__
from reproducible_ml.tracking.runs import Run


def bill_of(run: Run) -> dict[str, Any]:
    """List the Python and the packages that a run's record names.

    Args:
        run: The run.

    Returns:
        The bill, as JSON types. It has neither serial number nor date, so that it is the same
        whenever it is made.
    """
    packages = run.environment.get("packages") or {}
    python = str((run.environment.get("python") or {}).get("version") or "")
    components = [_package(str(name), str(version)) for name, version in packages.items()]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "tools": {
                "components": [
                    {"type": "application", "name": "reproducible-ml", "version": __version__}
                ]
            },
            "component": {"type": "application", "bom-ref": "run", "name": run.experiment},
        },
        "components": [
            *([{"type": "platform", "bom-ref": "python", "name": "Python", "version": python}]
              if python else []),
            *components,
        ],
        "dependencies": [{"ref": "run", "dependsOn": [one["bom-ref"] for one in components]}],
    }  # fmt: skip


def _package(name: str, version: str) -> dict[str, Any]:
    # "+" begins a local version, which an address has to escape.
    address = f"pkg:pypi/{name}@{version.replace('+', '%2B')}"
    return {
        "type": "library",
        "bom-ref": address,
        "name": name,
        "version": version,
        "purl": address,
    }
