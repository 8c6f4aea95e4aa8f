"""Writing, reading and verifying records, against what people usually do it with.

$ python -m benchmarks.data --npz-file mnist.npz

Contenders take turns in one process. Shown are medians of the rounds, and ratios as medians of the
rounds' ratios; all seconds stay in benchmarks/results/data.json.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks import data_read, data_scale, data_write
from benchmarks.measure import describe_machine, machine_line, markdown, put_into, show_part

RESULTS = Path(__file__).parent / "results" / "data.json"
TARGETS = [*data_write.TARGETS, *data_read.TARGETS]
PARTS = ("write", "read", "scale")


def main() -> None:
    """Measure, print the tables and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--npz-file", help="MNIST; without it random images of its size")
    parser.add_argument("--records", type=int, default=60_000, help="of MNIST's size")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(PARTS), help="some of write,read,scale")
    parser.add_argument("--largest", type=int, default=1_000_000, help="records of the scale part")
    parser.add_argument("--work", help="folder on the disk to measure; default: a temporary one")
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, help="put the tables there, such as README.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.work) as folder:
        found = measure(Path(folder), arguments)
    if arguments.page:
        put_into(arguments.page, "benchmarks.data", page_text(found))
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"\nAll figures: {arguments.json}")


def page_text(found: dict[str, Any]) -> str:
    """Give the figures as they stand in the README: table, machine, and how it grows."""
    parts = [markdown(found["figures"]), f"Machine: {machine_line(found['machine'])}."]
    if found["scale"]:
        parts.append(data_scale.table(found["scale"]))
    return "\n\n".join(parts)


def measure(work: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure the parts that are asked for; return what the JSON file holds."""
    only = arguments.only.split(",")
    machine = describe_machine(work)
    print(machine_line(machine), flush=True)
    mnist = digits(arguments.npz_file, arguments.records)
    parts = {}
    if "write" in only:
        pictures, pngs = photographs(max(64, arguments.records // 15)), encoded(mnist)
        for part in data_write.measure(work, mnist, pictures, pngs, arguments.rounds):
            parts[part.title] = part
            print(show_part(part, TARGETS), flush=True)
    if "read" in only:
        for part in data_read.measure(work, mnist, arguments.rounds):
            parts[part.title] = part
            print(show_part(part, TARGETS), flush=True)
    rows = [row for target in TARGETS if (row := target.row(parts)) is not None]
    print("\n" + markdown(rows), flush=True)
    sizes = []
    if "scale" in only:
        sizes = list(data_scale.measure(work, arguments.largest))
        print("\n" + data_scale.table(sizes), flush=True)
    return {
        "command": "python -m benchmarks.data",
        "machine": machine,
        "parts": {title: part.to_json() for title, part in parts.items()},
        "figures": rows,
        "scale": sizes,
    }


def digits(npz_file: str | None, count: int) -> dict[str, Any]:
    """Return MNIST's training images and labels, or random ones of their size."""
    import numpy as np

    if npz_file:
        with np.load(npz_file) as archive:
            images, labels = archive["x_train"][:count], archive["y_train"][:count]
            return {"image": images, "label": labels.astype(np.int64)}
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (count, 28, 28), np.uint8)
    return {"image": images, "label": draw.integers(0, 10, count)}


def photographs(count: int) -> dict[str, Any]:
    """Return colour images of 128 x 128 that compress about as photographs do."""
    import numpy as np
    from PIL import Image

    draw = np.random.default_rng(1)
    images = np.empty((count, 128, 128, 3), np.uint8)
    for image in images:
        coarse = Image.fromarray(draw.integers(0, 256, (16, 16, 3), np.uint8))
        smooth = np.asarray(coarse.resize((128, 128), Image.Resampling.BICUBIC), np.int16)
        image[:] = np.clip(smooth + draw.integers(-4, 5, image.shape), 0, 255)
    return {"image": images, "label": np.arange(count) % 10}


def encoded(mnist: dict[str, Any], count: int = 10_000) -> dict[str, Any]:
    """Return the first images as PNG files' bytes."""
    from PIL import Image

    files = []
    for image in mnist["image"][:count]:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, format="PNG")
        files.append(buffer.getvalue())
    return {"image": files, "label": mnist["label"][:count]}


if __name__ == "__main__":
    main()
