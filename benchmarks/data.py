"""Speed of writing, reading and verifying records, compared with the usual tools.

$ python -m benchmarks.data --npz-file mnist.npz

Contenders take turns in one process. The tables show medians of the rounds, and medians of the
rounds' ratios; benchmarks/results/data.json keeps all times. Without MNIST, random images are used,
and their figures are only printed, since noise does not compress.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks import data_read, data_rows, data_scale, data_verify, data_write
from benchmarks.measure import (
    command_line,
    describe_machine,
    machine_line,
    markdown,
    put_into,
    show_part,
)

RESULTS = Path(__file__).parent / "results" / "data.json"
TARGETS = [*data_write.TARGETS, *data_read.TARGETS, *data_verify.TARGETS]
PARTS = ("write", "read", "verify", "scale")
RANDOM = "random images in place of MNIST"


def main() -> None:
    """Measure, print the tables and save the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--npz-file", help="MNIST; default: the file in Keras' cache")
    parser.add_argument("--records", type=int, default=60_000, help="of MNIST's size")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--largest", type=int, default=10_000_000, help="records of scale")
    parser.add_argument("--work", help="folder on the disk to measure; default: a temporary one")
    parser.add_argument("--json", type=Path, help=f"default: {RESULTS.name}, if MNIST was measured")
    parser.add_argument(
        "--page", type=Path, help="put the tables there, such as docs/benchmarks.md"
    )
    arguments = parser.parse_args()
    npz_file = arguments.npz_file or data_rows.cached_mnist()
    if npz_file is None:
        if arguments.page:
            parser.error(f"--page shows figures of MNIST, and there is none: {_how_to_get_it()}")
        print(f"MEASURED WITH {RANDOM.upper()}: {_how_to_get_it()}\n", flush=True)
    elif arguments.json is None:
        arguments.json = RESULTS
    with tempfile.TemporaryDirectory(dir=arguments.work) as folder:
        found = measure(Path(folder), npz_file, arguments)
    if arguments.page:
        put_into(arguments.page, "benchmarks.data", page_text(found))
    if arguments.json is None:
        print(f"\nNothing kept: these are figures of {RANDOM}. {_how_to_get_it()}")
        return
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"\nAll figures: {arguments.json}")


def _how_to_get_it() -> str:
    return "give --npz-file=mnist.npz, or let Keras download it once."


def page_text(found: dict[str, Any]) -> str:
    """Return the figures as the docs show them: table, machine, and growth with the size."""
    parts = [markdown(found["figures"]), f"Machine: {machine_line(found['machine'])}."]
    if found["scale"]:
        parts.append(data_scale.table(found["scale"]))
    return "\n\n".join(parts)


def measure(
    work: Path, npz_file: str | Path | None, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Measure the requested parts; return the content of the JSON file."""
    only, rounds = arguments.only.split(","), arguments.rounds
    machine = describe_machine(work)
    print(machine_line(machine), flush=True)
    count = arguments.records
    mnist = data_rows.mnist(npz_file, count) if npz_file else data_rows.random_digits(count)
    pictures = data_rows.photographs(max(64, count // 15)) if {"write", "read"} & {*only} else {}
    parts = {}

    def keep(measured: Any) -> None:
        for part in measured:
            parts[part.title] = part
            print(show_part(part, TARGETS), flush=True)

    if "write" in only:
        pngs = data_rows.encoded(mnist)
        keep(data_write.measure(work, mnist, pictures, pngs, rounds))
    if "read" in only:
        half = {key: values[: len(values) // 2] for key, values in pictures.items()}
        keep(data_read.measure(work, mnist, half, rounds))
    if "verify" in only:
        keep(data_verify.measure(work, mnist, rounds))
    rows = [row for target in TARGETS if (row := target.row(parts)) is not None]
    sizes = []
    if "scale" in only:
        sizes = list(data_scale.measure(work, arguments.largest))
        rows += data_scale.figures(sizes)
    print("\n" + markdown(rows), flush=True)
    if sizes:
        print("\n" + data_scale.table(sizes), flush=True)
    return {
        "command": command_line("benchmarks.data"),
        "data": "MNIST" if npz_file else RANDOM,
        "machine": machine,
        "parts": {title: part.to_json() for title, part in parts.items()},
        "figures": rows,
        "scale": sizes,
    }


if __name__ == "__main__":
    main()
