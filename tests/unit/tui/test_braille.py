from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hegelion_tui.braille import line_cells


def text(points: list[tuple[float, float]], columns: int, rows: int) -> list[str]:
    xs, ys = np.array([x for x, _ in points], float), np.array([y for _, y in points], float)
    return ["".join(chr(0x2800 + int(cell)) for cell in row) for row in line_cells(xs, ys, columns, rows)]


def test_lines() -> None:
    assert text([(0, 0.1), (3, 0.1)], 3, 1) == ["⠉⠉⠉"]
    assert text([(0, 0), (1, 1)], 1, 1) == ["⢣"]
    assert text([(0, 1.9), (2, 0)], 2, 2) == ["⠀⡜", "⡜⠀"]
    assert text([(0.6, 0.0), (0.6, 0.99)], 2, 1) == ["⢸⠀"]
    assert text([(0.25, 0.6)], 1, 1) == ["⠄"]


def test_what_is_outside_is_left_out() -> None:
    assert text([(-5, 0.1), (-2, 0.1)], 2, 1) == ["⠀⠀"]
    assert text([(-5, 0.1), (5, 0.1)], 2, 1) == ["⠉⠉"]
    assert text([(0, 7), (2, 7)], 2, 1) == ["⠀⠀"]


@given(st.lists(st.tuples(st.floats(0, 9.99), st.floats(0, 4.99)), min_size=1, max_size=30))
def test_every_point_is_there_and_the_line_has_no_gap(points: list[tuple[float, float]]) -> None:
    points.sort()
    xs, ys = np.array([x for x, _ in points]), np.array([y for _, y in points])
    cells = line_cells(xs, ys, 10, 5)
    for x, y in points:
        assert cells[int(y), int(x)]
    there = np.nonzero(cells.any(axis=0))[0]
    assert list(there) == list(range(there[0], there[-1] + 1))
    for left, right in pairwise(there):
        rows_left, rows_right = (np.nonzero(cells[:, column])[0] for column in (left, right))
        assert min(abs(int(a) - int(b)) for a in rows_left for b in rows_right) <= 1
