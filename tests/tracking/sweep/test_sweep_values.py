"""What a sweep reads from its command line, and how it counts."""

import math
import re
from types import SimpleNamespace

import pytest

from reproducible_ml.tracking.sweep.table import as_cells, as_csv, make_rows
from reproducible_ml.tracking.sweep.values import Interval, parse_space, product, split_values
from reproducible_ml.utils.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1e-4,5e-5", ["1e-4", "5e-5"]),
        ("1..5", ["1", "2", "3", "4", "5"]),
        ("-1..1,7", ["-1", "0", "1", "7"]),
        ("[64,64,3]", ["[64,64,3]"]),
        ("[64,64,3],[28,28,1]", ["[64,64,3]", "[28,28,1]"]),
        ("'a,b',c", ["'a,b'", "c"]),
        ("{'a': (1, 2)}", ["{'a': (1, 2)}"]),
        ("wgan", ["wgan"]),
        ("../data,data/..", ["../data", "data/.."]),
        ("a=b", ["a=b"]),
    ],
)
def test_values_are_read(text, values):
    assert list(parse_space([f"key={text}"]).values["key"]) == values


def test_the_product_varies_the_last_key_fastest():
    space = parse_space(["digits", "a=1,2", "b=x", "seed=1..2", "smoke"])
    assert space.named == ("digits", "smoke")
    assert space.varied == ["a", "seed"]
    assert product(space) == [
        {"a": "1", "b": "x", "seed": "1"},
        {"a": "1", "b": "x", "seed": "2"},
        {"a": "2", "b": "x", "seed": "1"},
        {"a": "2", "b": "x", "seed": "2"},
    ]


def test_a_search_takes_ranges_as_intervals_but_lists_the_seeds():
    space = parse_space(
        ["a=log:1e-5..1e-3", "b=2..5", "c=0.5..1", "d=log:1..64", "e=x,y", "seed=1..2"], search=True
    )
    assert space.intervals == {
        "a": Interval(1e-5, 1e-3, whole=False, log=True),
        "b": Interval(2, 5, whole=True, log=False),
        "c": Interval(0.5, 1, whole=False, log=False),
        "d": Interval(1, 64, whole=True, log=True),
    }
    assert space.values == {"e": ("x", "y"), "seed": ("1", "2")}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["a=1", "a=2"], "a is given twice"),
        (["a="], "must be KEY=VALUES"),
        (["=1"], "must be KEY=VALUES"),
        (["a=1,,2"], "a value is empty"),
        (["a=[1,2"], "a ] is missing"),
        (["a=1]"], "the ] closes nothing"),
        (["a='x"], "a ' is missing"),
        (["a=5..1"], "from the lesser to the greater"),
        (["a=log:0..1"], "must begin above 0"),
        (["a=log:x..1"], "must be log:LOW..HIGH"),
        (["a=log:1..9"], "only for --search"),
        (["a=1..99999"], "at most 10,000"),
    ],
)
def test_what_cannot_be_read_is_named(arguments, sentence):
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        parse_space(arguments)


def test_a_switch_and_a_number_are_two_values():
    assert parse_space(["a=True,1"]).values["a"] == ("True", "1")


def test_too_many_members_are_refused():
    with pytest.raises(ConfigError, match="1,000,000 members"):
        product(parse_space(["a=1..1000", "b=1..1000"]))


def test_commas_within_quotes_and_brackets_part_nothing():
    assert split_values("a", "f(1, [2, 3]), 'it,', \"]\"") == ["f(1, [2, 3])", "'it,'", '"]"']


def member(measured, **parameters):
    return SimpleNamespace(parameters=parameters, measured=measured, unfinished=False)


def test_a_combination_without_any_result_has_a_row_too():
    rows = make_rows(
        [member(None, a="1", seed="1"), member(None, a="1", seed="2"), member({"x": 2.0}, a="2")]
    )
    assert as_cells(rows, ["a"])[1:] == [
        ["1", "-", "-", "-", "-", "0", "-", "-", "2"],
        ["2", "x", "2", "-", "-", "1", "2", "2", "0"],
    ]
    assert as_csv(rows).splitlines() == [
        "a,metric,mean,deviation,confidence_95,n,min,max,failed,unfinished",
        "1,,,,,0,,,2,0",
        "2,x,2.0,,,1,2.0,2.0,0,0",
    ]


@pytest.mark.parametrize(
    ("values", "half_width"),
    [
        # The quantile p of Student's t is tan(pi (p - 1/2)) for one degree of freedom,
        # (2p - 1) / sqrt(2p (1 - p)) for two, and of four a table has 2.7764451.
        ((1.0, 3.0), math.tan(0.475 * math.pi)),
        ((1.0, 2.0, 3.0), 0.95 / math.sqrt(2 * 0.975 * 0.025) / math.sqrt(3)),
        ((2.0, 4.0, 4.0, 4.0, 6.0), 2.7764451 * math.sqrt(2 / 5)),
        ((5.0, 5.0, 5.0), 0.0),
    ],
)
def test_the_confidence_interval_of_a_mean_is_students(values, half_width):
    (row,) = make_rows([member({"x": one}, a="1", seed=str(one)) for one in values])
    assert row.confidence_95 == pytest.approx(half_width, rel=1e-7)


def test_one_value_has_no_confidence_interval_and_nan_has_nan():
    assert make_rows([member({"x": 2.0}, a="1")])[0].confidence_95 is None
    (row,) = make_rows([member({"x": one}, a="1", seed=str(one)) for one in (2.0, math.nan)])
    assert math.isnan(row.confidence_95)


def test_the_best_comes_first_and_nan_last():
    rows = [member({"x": value}, a=str(value)) for value in (2.0, math.nan, 3.0, 1.0)]
    assert [row.parameters["a"] for row in make_rows(rows, "minimize")] == [
        "1.0",
        "2.0",
        "3.0",
        "nan",
    ]
    assert [row.parameters["a"] for row in make_rows(rows, "maximize")] == [
        "3.0",
        "2.0",
        "1.0",
        "nan",
    ]
