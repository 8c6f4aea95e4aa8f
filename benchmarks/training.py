"""Training speed compared with TF-GAN's estimator and loops by hand; the cost of exactness.

$ python -m benchmarks.training --npz-file mnist.npz

Contenders are processes (``trainees``) that take turns: all have the same networks, batch size,
optimizer, critic steps and threads. The tables show medians of the rounds, and medians of the
rounds' ratios; benchmarks/results/training.json keeps all times.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.measure import (
    Contender,
    Part,
    Target,
    command_line,
    describe_machine,
    machine_line,
    markdown,
    put_into,
    show_part,
    take_turns,
)

RESULTS = Path(__file__).parent / "results" / "training.json"
NAMES = {
    "stock": "stock GANEstimator",
    "example": "tfgan.gan_train",
    "keras": "Keras loop, @tf.function",
    "keras-jit": "Keras loop, compiled by XLA",
    "torch": "PyTorch loop, channels last",
    "fused": "ours",
    "exact": "ours, exact",
    "tracked": "ours, everything on",
}
BFLOAT16 = "ours, bfloat16"
IMPORT, START = "import tensorflow", "python -m experiments.mnist_wgan, to its first step"
COST = "what exactness and records cost"
STARTS = "start"
TARGETS = [
    Target("steps, 1:1, float32", "training 1:1", NAMES["fused"], NAMES["stock"], 1.3),
    Target("steps, 1:1, float32", "training 1:1", NAMES["fused"], NAMES["keras"], 1.1),
    Target("steps, 5:1, float32", "training 5:1", NAMES["fused"], NAMES["stock"], 1.2),
    Target("steps, 5:1, float32", "training 5:1", NAMES["fused"], NAMES["keras"], 1.05),
    Target("steps, 1:1, bfloat16", "training 1:1", BFLOAT16, NAMES["stock"], 1.5),
    Target("steps, 5:1, bfloat16", "training 5:1", BFLOAT16, NAMES["stock"], 1.4),
    Target("everything on", COST, NAMES["tracked"], NAMES["fused"], 0.95, "percent"),
]
PARTS = ("1", "5", "cost", "start", "peak")
# Critic steps -> steps of one turn, which takes one to three seconds.
STEPS = {1: 20, 5: 8}
# Digests, grids and checkpoints come every 100 or 200 steps.
COST_STEPS = 200


def main() -> None:
    """Measure, print the tables and save the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--npz-file", help="MNIST; without it the bundled digits")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--cost-rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument(
        "--page", type=Path, help="put the tables there, such as docs/benchmarks.md"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), arguments)
    if arguments.page:
        put_into(arguments.page, "benchmarks.training", page_text(found))
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"\nAll figures: {arguments.json}")


def page_text(found: dict[str, Any]) -> str:
    """Return the figures as the docs show them: table, speeds, share of the peak, machine."""
    parts = {title: Part.from_json(title, part) for title, part in found["parts"].items()}
    texts = [markdown(found["figures"])]
    if "peak" in found:
        from benchmarks import training_peak

        texts.append(training_peak.table(found["peak"], parts))
    texts.append(f"Machine: {machine_line(found['machine'])}.")
    return "\n\n".join(texts)


def measure(work: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure the requested parts; return the content of the JSON file."""
    only = arguments.only.split(",")
    machine = describe_machine(work)
    print(machine_line(machine), flush=True)
    data = work / "data"
    serialize(data, arguments.npz_file)
    parts: dict[str, Part] = {}

    def keep(part: Part) -> None:
        parts[part.title] = part
        print(show_part(part, TARGETS), flush=True)

    for critic_steps in (1, 5):
        if str(critic_steps) in only:
            keep(_speeds(work, data, critic_steps, arguments.rounds))
    if "cost" in only:
        names = ("fused", "exact", "tracked")
        trainees = [Trainee(work, data, name, 1, warm_up=20) for name in names]
        title = Part(COST, NAMES["fused"], COST_STEPS, unit="steps")
        keep(_in_turns(title, trainees, COST_STEPS, arguments.cost_rounds))
    if "start" in only:
        keep(_starts(work, data, arguments.rounds))
    rows = [row for target in TARGETS if (row := target.row(parts)) is not None]
    if STARTS in parts:
        rows.append(_start_row(parts[STARTS]))
    print("\n" + markdown(rows), flush=True)
    found: dict[str, Any] = {
        "command": command_line("benchmarks.training"),
        "machine": machine,
        "parts": {title: part.to_json() for title, part in parts.items()},
        "figures": rows,
    }
    if "peak" in only:
        from benchmarks import training_peak

        found["peak"] = training_peak.measure()
        print("\n" + training_peak.table(found["peak"], parts), flush=True)
    return found


class Trainee:
    """A process that trains a number of steps on demand.

    Attributes:
        name: For the tables.
    """

    def __init__(
        self,
        work: Path,
        data: Path,
        name: str,
        critic_steps: int,
        compute_dtype: str = "float32",
        warm_up: int = 10,
    ) -> None:
        self.name = NAMES[name] if compute_dtype == "float32" else BFLOAT16
        folder = tempfile.mkdtemp(dir=work)
        self._log = Path(folder) / "log"
        command = [sys.executable, "-m", "benchmarks.trainees", name, "--data", str(data)]
        command += ["--work", folder, "--critic-steps", str(critic_steps)]
        command += ["--compute-dtype", compute_dtype, "--warm-up", str(warm_up)]
        with open(self._log, "w", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        self._wait()

    def train(self, steps: int) -> None:
        """Train a number of steps and wait until they are done."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{steps}\n")
        self._process.stdin.flush()
        self._wait()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _wait(self) -> None:
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "done\n":
            self._process.wait()
            raise SystemExit(f"{self.name} failed:\n{self._log.read_text(encoding='utf-8')}")


def _speeds(work: Path, data: Path, critic_steps: int, rounds: int) -> Part:
    names = ["stock", "example", "keras", "keras-jit", "fused", "exact"]
    if find_spec("torch"):
        names.insert(4, "torch")
    trainees = [Trainee(work, data, name, critic_steps) for name in names]
    trainees.append(Trainee(work, data, "fused", critic_steps, "bfloat16"))
    steps = STEPS[critic_steps]
    part = Part(f"training {critic_steps}:1", NAMES["stock"], steps, unit="steps")
    return _in_turns(part, trainees, steps, rounds)


def _in_turns(part: Part, trainees: Sequence[Trainee], steps: int, rounds: int) -> Part:
    try:
        contenders = {
            one.name: Contender(lambda one=one: one.train(steps))  # type: ignore[misc]
            for one in trainees
        }
        return take_turns(part, contenders, rounds)
    finally:
        for one in trainees:
            one.close()


def _starts(work: Path, data: Path, rounds: int) -> Part:
    """Time processes from their start to TensorFlow's import and to a recorded run's first step."""

    def importing() -> None:
        subprocess.run([sys.executable, "-c", "import tensorflow"], check=True, capture_output=True)

    def first_step() -> None:
        Trainee(work, data, "tracked", 1, warm_up=1).close()

    contenders = {IMPORT: Contender(importing), START: Contender(first_step)}
    return take_turns(Part(STARTS, IMPORT, 1, unit="starts"), contenders, rounds)


def _start_row(part: Part) -> dict[str, Any]:
    import statistics

    pairs = zip(part.seconds[START], part.seconds[IMPORT])
    more = statistics.median(one - other for one, other in pairs)
    return {
        "work": "start, to the first step",
        "against": IMPORT,
        "target": "+3.0 s",
        "measured": f"{more:+.1f} s",
        "reached": more <= 3,
    }


def serialize(record_dir: Path, npz_file: str | None) -> None:
    """Write MNIST, or the bundled digits."""
    from reproducible_ml.datasets.serialize import serialize_source
    from reproducible_ml.datasets.sources import make_source

    source = make_source("mnist", npz_file=npz_file) if npz_file else make_source("digits")
    serialize_source(source, str(record_dir))


if __name__ == "__main__":
    began = time.perf_counter()
    main()
    print(f"{time.perf_counter() - began:.0f} s")
