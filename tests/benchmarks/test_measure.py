"""The figures of a benchmark are the same after they were kept."""

from benchmarks.measure import Part, show_part


def test_a_part_that_was_kept_gives_the_rates_and_ratios_of_before():
    seconds = {"stock": [2.0], "ours": [1.0]}
    counts = {"stock": 20, "ours": 20}
    before = Part("steps", "stock", 20, unit="steps", seconds=seconds, counts=counts)
    part = Part.from_json("steps", before.to_json())
    assert part.rates("ours") == [20.0]
    assert part.ratio("ours", "stock") == 2.0


def test_a_part_is_shown_in_columns_as_wide_as_their_numbers():
    seconds = {"stock": [2.0, 4.0, 3.0], "ours, twice as fast": [0.001, 0.002, 0.0015]}
    counts = {"stock": 3000, "ours, twice as fast": 3}
    part = Part("Writing", "stock", 3000, record_bytes=500_000, seconds=seconds, counts=counts)
    assert show_part(part, []).splitlines() == [
        "",
        "Writing (3,000 records of 500,000 bytes)",
        "                     records/s     MB/s  ratio         seconds",
        "stock                    1,000    500.0   1.00  2.000 to 4.000",
        "ours, twice as fast      2,000  1,000.0   2.00  0.001 to 0.002",
    ]
