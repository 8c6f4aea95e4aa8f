"""Comparison of the bits that different settings give: the table of docs/determinism.md.

$ python -m benchmarks.determinism

It trains the same few steps with each setting in a separate process, and prints the digest of the
final weights. Equal digests mean equal bits.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

# Settings: name, arguments of Determinism, environment variables, cores of the process.
SETTINGS: list[tuple[str, dict[str, Any], dict[str, str], int | None]] = [
    ("the default", {}, {}, None),
    ("the default, once more", {}, {}, None),
    ("only one core for the process", {}, {}, 1),
    ("1 thread (intra-op)", {"intra_op_threads": 1}, {}, None),
    ("4 threads (intra-op)", {"intra_op_threads": 4}, {}, None),
    ("1 thread (inter-op)", {"inter_op_threads": 1}, {}, None),
    ("without oneDNN", {"onednn": False}, {}, None),
    ("without op determinism", {"op_determinism": False}, {}, None),
    ("oneDNN as on a CPU with AVX2 only", {}, {"ONEDNN_MAX_CPU_ISA": "AVX2"}, None),
    ("oneDNN as on a CPU with SSE4.1 only", {}, {"ONEDNN_MAX_CPU_ISA": "SSE41"}, None),
]
BATCH_SIZE, SEED = 32, 1


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=10, help="steps of each training")
    parser.add_argument("--settings", type=int, default=len(SETTINGS), help="only the first ones")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(train(json.loads(arguments.child))))
        return
    with tempfile.TemporaryDirectory() as folder:
        serialize(f"{folder}/data")
        print(f"{arguments.steps} steps, batches of {BATCH_SIZE}, seed {SEED}, {cpu()}\n")
        print("| setting | weights | probe | first step that differs |")
        print("| --- | --- | --- | --- |")
        reference = None
        chosen = SETTINGS[: arguments.settings]
        for index, (name, values, variables, cores) in enumerate(chosen):
            request = {
                "data": f"{folder}/data",
                "model": f"{folder}/model-{index}",
                "steps": arguments.steps,
                "determinism": values,
                "cores": cores,
            }
            found = child(request, variables)
            reference = reference or found
            first = next(
                (
                    s
                    for s, (a, b) in enumerate(zip(reference["losses"], found["losses"]), 1)
                    if a != b
                ),
                None,
            )
            same = found["weights"] == reference["weights"]
            where = "none" if same else f"{first}" if first else "only in weights"
            print(
                f"| {name} | {found['weights'][:8]} | {found['probe'][:8]} | {where} |", flush=True
            )


def cpu() -> str:
    """Return this machine's CPU and number of cores."""
    from reproducible_ml.utils.environment import describe_cpu

    found = describe_cpu()
    return f"{found['model']}, {found['cores']} cores"


def serialize(record_dir: str) -> None:
    """Write the bundled digits."""
    from reproducible_ml.datasets.serialize import serialize_source
    from reproducible_ml.datasets.sources import make_source

    serialize_source(make_source("digits"), record_dir)


def child(request: dict[str, Any], variables: dict[str, str]) -> dict[str, Any]:
    """Train in a separate process."""
    command = [sys.executable, "-m", "benchmarks.determinism", "--child", json.dumps(request)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **variables}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def train(request: dict[str, Any]) -> dict[str, Any]:
    """Train with the settings of a request; return digests and losses."""
    if request["cores"]:
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[: request["cores"]]))
    from reproducible_ml.models.exact import Determinism, probe_digest, read_steps
    from reproducible_ml.models.gan import Cadence, GANSettings, train_gan

    settings = GANSettings(
        batch_size=BATCH_SIZE, seed=SEED, determinism=Determinism(**request["determinism"])
    )
    cadence = Cadence(request["steps"], digest_every_steps=1)
    result = train_gan(request["data"], request["model"], settings, cadence)
    losses = read_steps(Path(request["model"]))
    return {
        "weights": result.digests["weights"],
        "probe": probe_digest(),
        "losses": [list(map(float, (one["generator_loss"], one["critic_loss"]))) for one in losses],
    }


if __name__ == "__main__":
    main()
