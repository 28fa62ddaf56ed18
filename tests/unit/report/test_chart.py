"""Charts: whatever the values are, the picture is whole and everything in it lies inside."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hegelion_core.report.chart import Mark, Series, figure

POINTS = st.lists(st.tuples(st.floats(width=32), st.floats(width=32)), max_size=30).map(sorted)


@given(POINTS, POINTS, st.booleans(), st.booleans(), st.floats(allow_nan=False))
@settings(max_examples=150, deadline=None)
def test_every_point_lies_inside_the_picture(
    one: list[tuple[float, float]], other: list[tuple[float, float]], logarithmic: bool, from_zero: bool, mark: float
) -> None:
    drawn = figure(
        "t",
        [Series("<a>", "second", one, dots=True), Series("b", "main", other)],
        x_title="x",
        y_title="y",
        logarithmic=logarithmic,
        from_zero=from_zero and not logarithmic and all(y >= 0 for _, y in [*one, *other]),
        marks=[Mark(mark, "here")],
    )
    usable = [p for p in [*one, *other] if all(map(math.isfinite, p)) and (p[1] > 0 or not logarithmic)]
    if not usable:
        assert drawn is None
        return
    assert drawn is not None
    tree = ElementTree.fromstring(drawn.markup)  # noqa: S314 - our own
    for line in tree.iter("polyline"):
        for pair in line.attrib["points"].split():
            x, y = map(float, pair.split(","))
            assert 0 <= x <= 640
            assert 0 <= y <= 260
    for text in tree.iter("text"):
        assert all(-20 <= float(text.attrib[name]) <= 660 for name in ("x", "y") if name in text.attrib)


def test_a_single_point_is_a_dot_and_a_target_alone_is_nothing() -> None:
    drawn = figure("t", [Series("a", "main", [(3.0, 2.0)])], x_title="x", y_title="y")
    assert drawn is not None
    assert drawn.markup.count("<circle") == 1
    assert figure("t", [Series("S*", "target", [(1.0, 2.0)])], x_title="x", y_title="y") is None


@pytest.mark.parametrize(("values", "label"), [([0.001, 1000.0], "1,000"), ([1.0, 1.5], "1.2")])
def test_a_logarithmic_axis_names_the_values_themselves(values: list[float], label: str) -> None:
    points = [(float(x), y) for x, y in enumerate(values)]
    drawn = figure("t", [Series("a", "main", points)], x_title="x", y_title="y", logarithmic=True)
    assert drawn is not None
    assert f">{label}</text>" in drawn.markup
