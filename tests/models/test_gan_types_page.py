"""docs/gan-types.md says what the table GAN_TYPES holds."""

import re
from pathlib import Path

from reproducible_ml.models import GAN_TYPES

PAGE = Path(__file__).parents[2] / "docs" / "gan-types.md"


def number(value):
    return "" if value is None else re.sub(r"e-0*", "e-", f"{value:g}")


def constraint(row):
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


def optimizer(row):
    if row.optimizer == "rmsprop":
        return "RMSProp"
    adam = dict.fromkeys((one.beta1, one.beta2) for one in (row.practical, row.paper))
    return "Adam " + "; paper ".join(f"{number(b1)}, {number(b2)}" for b1, b2 in adam)


def values(defaults):
    words = f"{number(defaults.gen_lr)} / {number(defaults.crit_lr)}, {defaults.critic_steps}, "
    words += str(defaults.batch_size)
    if defaults.critic_weight_clip is not None:
        words += f", clip {number(defaults.critic_weight_clip)}"
    if defaults.penalty_weight is not None:
        words += f", penalty {number(defaults.penalty_weight)}"
    return words


def expected_tables():
    """Return the page's two tables."""
    what = [
        f"| `{name}` | {row.generator_loss} | {row.critic_loss} | {constraint(row)} "
        f"| {optimizer(row)} | {values(row.practical)} | {values(row.paper)} |"
        for name, row in GAN_TYPES.items()
    ]
    sources = [f"| `{name}` | {row.source} | {row.remark} |" for name, row in GAN_TYPES.items()]
    return "\n".join(what), "\n".join(sources)


def test_the_page_shows_the_tables_as_they_are():
    text = PAGE.read_text(encoding="utf-8")
    for table in expected_tables():
        assert table in text, f"docs/gan-types.md should hold:\n{table}"
