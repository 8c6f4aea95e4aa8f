"""Write the tables of docs/gan-types.md from GAN_TYPES; the rest of the page stays as it is."""

from __future__ import annotations

import re
from pathlib import Path

from reproducible_ml.models.gan import GAN_TYPES, Defaults, GanType

PAGE = Path(__file__).resolve().parents[1] / "docs" / "gan-types.md"

TYPES_HEADER = (
    "| `gan_type` | generator's loss | critic's loss | the critic has | optimizer "
    "| practical | paper |"
)
SOURCES_HEADER = "| `gan_type` | source | remark |"


def number(value: float) -> str:
    return re.sub(r"e-0*", "e-", f"{value:g}")


def constraint(row: GanType) -> str:
    words = []
    if row.paper.critic_weight_clip is not None:
        words.append("clipping")
    if row.penalty is not None:
        words.append(f"{row.penalty} gradient penalty")
    if row.spectral_norm:
        words.append("spectral norm")
    if row.critic_batch_norm:
        words.append("batch norm")
    if row.critic_head != "mean":
        words.append(f"{row.critic_head} head")
    return ", ".join(words) or "none"


def optimizer(row: GanType) -> str:
    if row.optimizer != "adam":
        return {"rmsprop": "RMSProp"}.get(row.optimizer, row.optimizer)
    adam = dict.fromkeys((one.beta1, one.beta2) for one in (row.practical, row.paper))
    return "Adam " + "; paper ".join(f"{number(b1)}, {number(b2)}" for b1, b2 in adam)


def values(defaults: Defaults) -> str:
    words = f"{number(defaults.gen_lr)} / {number(defaults.crit_lr)}, {defaults.critic_steps}, "
    words += str(defaults.batch_size)
    if defaults.critic_weight_clip is not None:
        words += f", clip {number(defaults.critic_weight_clip)}"
    if defaults.penalty_weight is not None:
        words += f", penalty {number(defaults.penalty_weight)}"
    return words


def tables() -> dict[str, list[str]]:
    """Return the lines below each table's header."""
    what = [
        f"| `{name}` | {row.generator_loss} | {row.critic_loss} | {constraint(row)} "
        f"| {optimizer(row)} | {values(row.practical)} | {values(row.paper)} |"
        for name, row in GAN_TYPES.items()
    ]
    sources = [f"| `{name}` | {row.source} | {row.remark} |" for name, row in GAN_TYPES.items()]
    return {TYPES_HEADER: what, SOURCES_HEADER: sources}


def page(text: str) -> str:
    """Return the page with its tables made anew.

    Raises:
        SystemExit: It lacks a table's header.
    """
    lines = text.split("\n")
    for header, rows in tables().items():
        if header not in lines:
            raise SystemExit(f"{PAGE} lacks the line {header!r}, below which a table belongs.")
        # Below the header comes its rule.
        start = lines.index(header) + 2
        stop = next(i for i in range(start, len(lines)) if not lines[i].startswith("|"))
        lines[start:stop] = rows
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"Wrote docs/{PAGE.name}.")
