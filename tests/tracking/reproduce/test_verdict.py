"""A verdict rests on values: what neither run has is not compared, what one lacks differs."""

import dataclasses

import numpy as np
import pytest

from reproducible_ml.models.exact.step_log import step_dtype
from reproducible_ml.tracking.reproduce.evidence import Evidence
from reproducible_ml.tracking.reproduce.verdict import judge

EMPTY = Evidence(steps=None, digests={}, losses=None, tensors={}, metrics={}, result=None)


def evidence(**parts):
    return dataclasses.replace(EMPTY, **parts)


def points(*steps):
    return {"steps": list(steps), "values": [step / 7 for step in steps]}


def losses(count):
    steps = np.zeros(count, step_dtype())
    steps["step"] = np.arange(1, count + 1)
    return steps


def compared(verdict):
    return {row.part: row.equal for row in verdict.rows}


@pytest.mark.parametrize(
    ("part", "holds"),
    [
        ({}, False),
        ({"digests": {"weights": None}}, False),
        ({"losses": losses(0)}, False),
        ({"metrics": {"loss": points()}}, False),
        ({"digests": {"weights": "c0ffee"}}, True),
        ({"losses": losses(1)}, True),
        ({"metrics": {"loss": points(3)}}, True),
        ({"result": 0.0}, True),
    ],
)
def test_only_a_value_is_evidence(part, holds):
    assert bool(evidence(**part)) is holds


def test_of_the_first_steps_no_final_state_and_no_later_point_is_evidence():
    whole = evidence(
        digests={"weights": "c0ffee"},
        losses=losses(20),
        tensors={5: {"w": "1"}, 10: {"w": "2"}},
        metrics={"loss": points(5, 10), "fid": points(20)},
        result=1.0,
    )
    part = whole.up_to(7)
    assert (part.digests, len(part.losses), part.tensors) == ({}, 7, {5: {"w": "1"}})
    assert part.metrics == {"loss": points(5), "fid": points()}
    assert part.result is None
    assert not evidence(digests={"weights": "c0ffee"}, metrics={"fid": points(20)}).up_to(7)


def test_a_part_that_neither_run_has_is_not_compared():
    both = evidence(
        digests={"weights": "c0ffee", "samples": None},
        losses=losses(3),
        metrics={"loss": points(3), "fid": points()},
    )
    verdict = judge(both, both)
    assert compared(verdict) == {
        "samples": None,
        "weights": True,
        "losses of every step": True,
        "weight digests": None,
        "metric fid": None,
        "metric loss": True,
        "result": None,
    }
    assert verdict.sentence == "identical"
    assert {row.recorded for row in verdict.rows if row.equal is None} == {"none recorded"}


@pytest.mark.parametrize(
    ("left", "right", "sentence"),
    [
        ({"digests": {"weights": "c0ffee"}}, {}, "differs in weights"),
        ({"losses": losses(3)}, {}, "differs in losses of every step"),
        (
            {"losses": losses(3), "tensors": {2: {"w": "1"}}},
            {"losses": losses(3)},
            "differs in weight digests",
        ),
        ({"metrics": {"loss": points(3)}}, {}, "differs at step 3: metric loss"),
        ({}, {"metrics": {"loss": points(3)}}, "differs at step 3: metric loss"),
        ({"result": 1.0}, {}, "differs in result"),
    ],
)
def test_a_part_that_one_run_lacks_differs(left, right, sentence):
    assert judge(evidence(**left), evidence(**right)).sentence.startswith(sentence)


def test_a_point_at_the_last_step_of_a_shorter_rerun_is_left_out():
    # The recorded run logs every fifth step and its last, 20; the rerun's last is 7.
    recorded = evidence(metrics={"loss": points(5, 10, 15, 20)}).up_to(7)
    again = evidence(metrics={"loss": points(5, 7), "end": points(7)}).up_to(7)
    verdict = judge(recorded, again)
    assert verdict.sentence == "identical up to step 7"
    assert compared(verdict) == {"metric end": None, "metric loss": True}


def test_an_extra_point_before_the_last_step_differs():
    recorded = evidence(metrics={"loss": points(5, 10)}).up_to(7)
    again = evidence(metrics={"loss": points(5, 6, 7)}).up_to(7)
    assert judge(recorded, again).sentence.startswith("differs at step 6: metric loss")
