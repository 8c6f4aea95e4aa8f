"""Kill a training at random moments, resume it, and compare digests with an uninterrupted one.

$ python -m benchmarks.kill_and_resume --npz-file mnist.npz --steps 1000 --rounds 20

Each round is a training in real processes, which is killed by SIGKILL shortly after a random step
(after two steps in every third round) and then resumed to the end.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    """Print a line per round; exit with 1 if any digest differs."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--npz-file", help="MNIST; without it the bundled digits")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--critic-steps", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    moments = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        seconds, wanted = whole(work, arguments)
        print(f"uninterrupted: {seconds:.0f} s, digest {wanted[:16]}", flush=True)
        equal = 0
        for number in range(1, arguments.rounds + 1):
            kills = sorted(moments.sample(range(1, arguments.steps), 1 + (number % 3 == 0)))
            steps, digest = interrupted(work, arguments, kills, moments)
            equal += digest == wanted
            verdict = "equal" if digest == wanted else f"DIFFERS: {digest[:16]}"
            print(
                f"round {number}: killed at step {', '.join(map(str, steps))}: {verdict}",
                flush=True,
            )
        print(f"{equal} of {arguments.rounds} digests are equal")
        raise SystemExit(equal != arguments.rounds)


def command(work: Path, arguments: argparse.Namespace, model: Path) -> list[str]:
    """Return the training's command."""
    source = [f"npz_file={arguments.npz_file}"] if arguments.npz_file else ["source=digits"]
    return [
        *(sys.executable, "-m", "experiments.mnist_wgan", "-u", "with", *source),
        *(f"record_dir={work / 'data'}", f"model_dir={model}", f"max_steps={arguments.steps}"),
        *(f"batch_size={arguments.batch_size}", f"critic_steps={arguments.critic_steps}"),
        f"checkpoint_every_steps={max(1, arguments.steps // 10)}",
    ]


def whole(work: Path, arguments: argparse.Namespace) -> tuple[float, str]:
    """Train without an interruption; return seconds and digest."""
    model = work / "whole"
    # The data first, so that no round is killed while it is written.
    quiet([*command(work, arguments, work / "first"), "max_steps=1", "checkpoint_every_steps=1"])
    shutil.rmtree(work / "first")
    began = time.perf_counter()
    quiet(command(work, arguments, model))
    seconds = time.perf_counter() - began
    digest = digest_of(model)
    shutil.rmtree(model)
    return seconds, digest


def interrupted(
    work: Path, arguments: argparse.Namespace, kills: list[int], moments: random.Random
) -> tuple[list[int], str]:
    """Train with kills after these steps; return the steps reached and the digest."""
    from reproducible_ml.models.exact import read_steps

    model, steps = work / "killed", []
    for step in kills:
        process = subprocess.Popen(
            command(work, arguments, model), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while len(read_steps(model)) < step and process.poll() is None:
            time.sleep(0.01)
        # Up to a few steps later, so that some kills hit a checkpoint being written.
        time.sleep(moments.uniform(0, 0.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
        steps.append(len(read_steps(model)))
    quiet(command(work, arguments, model))
    digest = digest_of(model)
    shutil.rmtree(model)
    return steps, digest


def quiet(arguments: list[str]) -> None:
    """Run a command to its end; show its output if it fails."""
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)


def digest_of(model: Path) -> str:
    """Return the digest of a finished training."""
    return str(json.loads((model / "result.json").read_text())["digests"]["run"])


if __name__ == "__main__":
    main()
