"""The bits of each GAN type, for comparison between Pythons: a table of docs/determinism.md.

$ python3.12 -m benchmarks.lines --steps 200

It trains each type on the bundled digits, with oneDNN and without, and prints the digest of all
variables and the first eight digits of the losses' one. Run it with each Python and compare.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from typing import Any

from benchmarks.determinism import cpu, serialize

BATCH_SIZE, SEED = 32, 1


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=200, help="steps of each training")
    parser.add_argument("--types", help="only these types, separated by commas")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        train(json.loads(arguments.child))
        return
    from reproducible_ml.models import GAN_TYPES
    from reproducible_ml.utils.tensorflow_version import require_tensorflow

    types = arguments.types.split(",") if arguments.types else list(GAN_TYPES)
    with tempfile.TemporaryDirectory() as folder:
        serialize(f"{folder}/data")
        print(
            f"Python {platform.python_version()}, TensorFlow {require_tensorflow()}, {cpu()}; "
            f"{arguments.steps} steps, batches of {BATCH_SIZE}, seed {SEED}\n"
        )
        print("| type | oneDNN | weights | losses |\n| --- | --- | --- | --- |", flush=True)
        # Kernels are chosen when TensorFlow is imported, so each setting has its own process.
        for onednn in (False, True):
            request = {
                **{"data": f"{folder}/data", "models": f"{folder}/models-{onednn}"},
                **{"types": types, "steps": arguments.steps, "onednn": onednn},
            }
            command = [sys.executable, "-m", "benchmarks.lines", "--child", json.dumps(request)]
            environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": str(int(onednn))}
            subprocess.run(command, env=environment, check=True, stderr=subprocess.DEVNULL)


def train(request: dict[str, Any]) -> None:
    """Train the types of a request, and print a line each."""
    from reproducible_ml.models.exact import Determinism
    from reproducible_ml.models.gan import Cadence, GANSettings, train_gan

    determinism = Determinism(onednn=request["onednn"])
    for name in request["types"]:
        settings = GANSettings(name, batch_size=BATCH_SIZE, seed=SEED, determinism=determinism)
        cadence = Cadence(request["steps"])
        digests = train_gan(
            request["data"], f"{request['models']}/{name}", settings, cadence
        ).digests
        kernels = "on" if request["onednn"] else "off"
        print(
            f"| {name} | {kernels} | {digests['weights'][:8]} | {digests['losses'][:8]} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
