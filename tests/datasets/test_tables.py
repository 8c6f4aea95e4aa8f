"""CSV and Parquet files as sources: types, splits, digests, and what can't be read."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from reproducible_ml.datasets.serialize import read_manifest, serialize_source
from reproducible_ml.datasets.serialize.checking import repair
from reproducible_ml.datasets.sources import make_source
from reproducible_ml.input_fn import supervised_input_fn
from reproducible_ml.utils.errors import ConfigError, DataError

TEXT = '''\
name,age,size,code,note,part
Ann,31,1.5,007,"a, b",train
Bo,-4,2,010,,test
"Zoë ""Z""",0,.25,000,"two
lines",train
'''
TYPES = {"name": "text", "age": "int64", "size": "float64", "code": "text", "note": "text"}


def table(text=TEXT, **arguments):
    path = Path("rows.csv")
    path.write_text(text, encoding="utf-8")
    return make_source("csv", csv_file=path, **arguments)


def rows(source, split="train"):
    return [dict(row) for row in source.rows_gen(split)]


def test_types_follow_from_all_values_and_are_recorded():
    source = table(split_column="part")
    assert source.split_to_size == {"train": 2, "test": 1}
    assert rows(source) == [
        {"name": "Ann", "age": 31, "size": 1.5, "code": "007", "note": "a, b"},
        {"name": 'Zoë "Z"', "age": 0, "size": 0.25, "code": "000", "note": "two\nlines"},
    ]
    assert rows(source, "test")[0]["note"] == ""
    assert source.describe() == {
        "name": "csv",
        "arguments": {
            "csv_file": str(Path("rows.csv").absolute()),
            "delimiter": ",",
            "columns": TYPES,
            "split_column": "part",
        },
        "digest": hashlib.sha256(TEXT.encode()).hexdigest(),
    }
    # What was inferred from these rows is stated when they are read again.
    again = make_source("csv", **source.arguments)
    assert rows(again) == rows(source)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "-2", " 3 "], "int64"),
        (["9223372036854775807"], "int64"),
        (["9223372036854775808"], "text"),
        (["1", "2.0", "1e-3", ".5", "+7."], "float64"),
        (["1", "x"], "text"),
        (["0123"], "text"),
        (["1_000"], "text"),
        (["nan"], "text"),
        (["", ""], "text"),
    ],
)
def test_a_type_is_that_of_all_values(values, kind):
    source = table("a,b\n" + "".join(f"{value},x\n" for value in values))
    assert source.arguments["columns"]["a"] == kind


def test_a_stated_type_comes_first():
    text = "a,b\n1,0.1\n,2\n3,1e9\n"
    source = table(text, columns={"a": "float64", "b": "float32"})
    found = [row["a"] for row in rows(source)]
    assert (found[0], found[2]) == (1.0, 3.0)
    assert np.isnan(found[1])
    assert rows(source)[0]["b"] == np.float32(0.1)
    assert rows(table(text, columns={"a": "text"}))[1]["a"] == ""


def drawn_by_hand(row, seed, fractions):
    """Take the split of a row by the digest of its content."""
    text = f"{seed} {json.dumps({key: row[key] for key in sorted(row)})}"
    drawn = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") / 2**64
    return "eval" if drawn < fractions[0] else "test" if drawn < sum(fractions) else "train"


def test_fractions_divide_the_rows_by_their_content():
    values = [{"a": n % 150, "b": f"t{n % 150}", "c": n % 150 / 4} for n in range(300)]
    text = "a,b,c\n" + "".join(f"{row['a']},{row['b']},{row['c']}\n" for row in values)
    options = {"split_fractions": {"test": 0.25, "eval": 0.125}, "split_seed": 3}
    source = table(text, **options)
    wanted = {"train": [], "eval": [], "test": []}
    for row in values:
        wanted[drawn_by_hand(row, 3, (0.125, 0.25))].append(row)
    assert {split: rows(source, split) for split in source.split_to_size} == wanted
    # Equal rows are in one split.
    splits = [{row["a"] for row in wanted[split]} for split in wanted]
    assert sum(map(len, splits)) == len(set().union(*splits)) == 150
    assert source.arguments["split_fractions"] == {"eval": 0.125, "test": 0.25}
    # One more row moves no other.
    more = table(text + "999,new,9.5\n", **options)
    for split, found in wanted.items():
        assert [row for row in rows(more, split) if row["b"] != "new"] == found
    assert rows(table(text, split_fractions={"test": 0.25}, split_seed=4), "test") != wanted["test"]


def test_without_splits_all_rows_are_train():
    assert table().split_to_size == {"train": 3}


@pytest.mark.parametrize(
    ("text", "arguments", "kind", "message"),
    [
        ("a,b\n1\n", {}, DataError, "row 1 has 1 values, but the first row names 2 columns"),
        ("a,a\n1,2\n", {}, DataError, "column 2 is named 'a', expected a name of its own"),
        ("a,\n1,2\n", {}, DataError, "column 2 is named ''"),
        ("a,b\n", {}, DataError, "has no rows"),
        ("", {}, DataError, "has no rows"),
        ('a\n"x\n', {}, DataError, "can't be read as CSV in UTF-8"),
        ("a,b\n1,2\n ,3\n", {}, DataError, r"row 2, column 'a': the value is missing.*'float64'}"),
        (
            "a\nx\n",
            {"columns": {"a": "int64"}},
            DataError,
            "row 1, column 'a': found 'x', expected",
        ),
        ("a\n1.5\n", {"columns": {"a": "int64"}}, DataError, "found '1.5', expected int64"),
        ("a\n1e99\n", {"columns": {"a": "float32"}}, DataError, "numbers that float32 can't hold"),
        (f"a\n{2**63}\n", {"columns": {"a": "int64"}}, DataError, "that int64 can't hold"),
        ("a\n1\n", {"columns": {"b": "text"}}, ConfigError, "'b', but rows.csv has a"),
        ("a\n1\n", {"columns": {"a": "date"}}, ConfigError, "states 'date' for 'a', expected one"),
        ("a\n1\n", {"split_column": "b"}, ConfigError, "split_column is 'b', but rows.csv has a"),
        ("a,s\n1,dev\n", {"split_column": "s"}, DataError, "found 'dev', expected train, eval or"),
        ("a,s\n1,test\n", {"split_column": "s"}, DataError, "no row for the split 'train'"),
        ("a,s\n1,0\n", {"split_column": "s"}, DataError, "found '0'"),
        ("s\ntrain\n", {"split_column": "s"}, DataError, "no column that is a feature"),
        ("a\n1\n", {"split_fractions": {"test": 0.5}}, DataError, "has no row for the split"),
        ("a\n1\n", {"split_fractions": {"dev": 0.5}}, ConfigError, "expected fractions for eval"),
        ("a\n1\n", {"split_fractions": {"eval": 0.5, "test": 0.5}}, ConfigError, "leave some"),
        ("a\n1\n", {"split_fractions": [0.5]}, ConfigError, r"split_fractions is \[0.5\]"),
        (
            "a,s\n1,train\n",
            {"split_column": "s", "split_fractions": {"test": 0.5}},
            ConfigError,
            "in one of the two ways",
        ),
    ],
)
def test_a_table_that_cannot_be_read_says_where_and_what_to_do(text, arguments, kind, message):
    with pytest.raises(kind, match=message):
        table(text, **arguments)


def test_a_file_that_is_missing_or_not_utf_8_is_named():
    with pytest.raises(DataError, match="csv_file=path/to/file"):
        make_source("csv")
    with pytest.raises(DataError, match=r"none\.csv can't be read"):
        make_source("csv", csv_file="none.csv")
    Path("latin.csv").write_bytes(b"a\ncaf\xe9\n")
    with pytest.raises(DataError, match=r"latin\.csv can't be read as CSV in UTF-8"):
        make_source("csv", csv_file="latin.csv")


def test_a_written_table_is_read_and_repaired():
    long = "word " * 40_000
    source = table(TEXT.replace("Ann", long) + "Cy,5,1,1,n,eval\n", split_column="part")
    manifest = serialize_source(source, "data")
    assert manifest.features["size"].dtype == "float64"
    fn = supervised_input_fn("data", ["name", "size"], "age", batch_size=2, shuffle=False)
    (features, labels) = next(iter(fn()))
    assert features["name"].numpy().tolist() == [long.encode(), 'Zoë "Z"'.encode()]
    assert (features["size"].numpy().tolist(), labels.numpy().tolist()) == ([1.5, 0.25], [31, 0])
    Path("data/train-00000.tfrecord").unlink()
    assert repair("data") == ["train-00000.tfrecord"]
    table(TEXT.replace("31", "32"))
    Path("data/train-00000.tfrecord").unlink()
    with pytest.raises(DataError, match="have changed since the data set was written"):
        repair("data")


# --- parquet


@pytest.fixture
def arrow():
    return pytest.importorskip("pyarrow", reason="the extra parquet is not installed")


def parquet(arrow, data, **arguments):
    import pyarrow.parquet

    # A folder named like a column must not become one.
    path = Path("year=2020", "rows.parquet")
    path.parent.mkdir(exist_ok=True)
    pyarrow.parquet.write_table(arrow.table(data), path)
    return make_source("parquet", parquet_file=path, **arguments)


def test_parquet_columns_keep_their_types(arrow):
    source = parquet(
        arrow,
        {
            "small": arrow.array([1, -2, 3], arrow.int8()),
            "yes": [True, False, True],
            "half": arrow.array([0.5, 1.5, 2.5], arrow.float32()),
            "real": [0.1, 0.2, 0.3],
            "text": arrow.array(["a", "é", ""]).dictionary_encode(),
            "words": [[1, 2], [], [3]],
            "when": arrow.array([0, 1, 2], arrow.date32()),
            "gaps": [1.0, None, 2.0],
            "part": ["train", "eval", "train"],
        },
        columns={"when": "text", "gaps": "float64"},
        split_column="part",
    )
    assert source.arguments["columns"] == {
        "small": "int64",
        "yes": "int64",
        "half": "float32",
        "real": "float64",
        "text": "text",
        "words": "list of int64",
        "when": "text",
        "gaps": "float64",
    }
    (found,) = rows(source, "eval")
    assert np.isnan(found.pop("gaps"))
    assert found.pop("words").tolist() == []
    assert found == {
        **{"small": -2, "yes": 0, "half": 1.5, "real": 0.2},
        **{"text": "é", "when": "1970-01-02"},
    }
    assert (
        source.digest()
        == hashlib.sha256(Path(source.arguments["parquet_file"]).read_bytes()).hexdigest()
    )
    serialize_source(source, "data")
    assert read_manifest("data").source == source.describe()
    features = next(iter(supervised_input_fn("data", ["words"], batch_size=2, shuffle=False)()))
    assert features["words"].numpy().tolist() == [[1, 2], [3, -1]]


def test_the_same_rows_are_split_alike_in_csv_and_parquet(arrow):
    columns = {"a": list(range(80)), "b": [n / 8 for n in range(80)], "c": list("xyzw" * 20)}
    options = {"split_fractions": {"test": 0.5}, "split_seed": 1}
    text = "a,b,c\n" + "".join(f"{a},{b},{c}\n" for a, b, c in zip(*columns.values()))
    assert rows(parquet(arrow, columns, **options), "test") == rows(table(text, **options), "test")


@pytest.mark.parametrize(
    ("columns", "arguments", "message"),
    [
        ({"when": [b"x"]}, {}, "column 'when' has the type binary, expected integers"),
        ({"a": [1, None]}, {}, "row 2, column 'a': the value is missing"),
        ({"a": [[1], [None]]}, {}, "row 2, column 'a': the value is missing"),
        ({"a": [1.5]}, {"columns": {"a": "int64"}}, "column 'a' is not int64"),
        ({"a": [1e99]}, {"columns": {"a": "float32"}}, "that float32 can't hold"),
        ({"a": np.array([2**64 - 1], np.uint64)}, {}, "column 'a' is not int64"),
    ],
)
def test_a_column_that_cannot_be_read_is_named(arrow, columns, arguments, message):
    with pytest.raises(DataError, match=message):
        parquet(arrow, columns, **arguments)


def test_a_file_that_is_no_parquet_is_refused(arrow):
    with pytest.raises(DataError, match="parquet_file=path/to/file"):
        make_source("parquet")
    Path("rows.parquet").write_text("a,b\n")
    for name in ("rows.parquet", "none.parquet"):
        with pytest.raises(DataError, match=f"{name} can't be read as a Parquet file"):
            make_source("parquet", parquet_file=name)


def test_without_pyarrow_there_is_one_sentence(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"pip install 'reproducible-ml\[parquet\]'"):
        make_source("parquet", parquet_file="rows.parquet")
