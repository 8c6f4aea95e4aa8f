"""The figures of a benchmark are the same after they were kept."""

from benchmarks.measure import Part


def test_a_part_that_was_kept_gives_the_rates_and_ratios_of_before():
    seconds = {"stock": [2.0], "ours": [1.0]}
    counts = {"stock": 20, "ours": 20}
    before = Part("steps", "stock", 20, unit="steps", seconds=seconds, counts=counts)
    part = Part.from_json("steps", before.to_json())
    assert part.rates("ours") == [20.0]
    assert part.ratio("ours", "stock") == 2.0
