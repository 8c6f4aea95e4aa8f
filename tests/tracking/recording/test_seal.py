"""A record that was altered is noticed, and the altered part is named."""

import copy

import pytest

from reproducible_ml.tracking.recording.seal import broken_parts, make_seal

RECORD = {
    "config": {"gen_lr": 1e-4, "shape": (28, 28)},
    "sources": {"experiments/a.py": "11"},
    "metrics": {"critic_loss": [(10, 0.5), (20, float("nan"))]},
    "facts": {"digest": {"run": "ab"}, "dataset": {"fingerprint": "cd"}},
}


def test_an_untouched_record_keeps_its_seal():
    as_read_back = copy.deepcopy(RECORD)
    as_read_back["config"]["shape"] = [28, 28]
    assert broken_parts(make_seal(**RECORD), make_seal(**as_read_back)) == []


@pytest.mark.parametrize(
    ("part", "change", "name"),
    [
        ("config", {"gen_lr": 2e-4}, "the configuration"),
        ("sources", {"experiments/a.py": "12"}, "the sources"),
        ("metrics", {"critic_loss": [(10, 0.5000001), (20, float("nan"))]}, "metric critic_loss"),
        ("metrics", {}, "metric critic_loss"),
        ("facts", {"digest": {"run": "ac"}, "dataset": {"fingerprint": "cd"}}, "entry digest"),
    ],
)
def test_an_altered_part_is_named(part, change, name):
    altered = {**RECORD, part: change}
    assert broken_parts(make_seal(**RECORD), make_seal(**altered)) == [name]
