"""Broken lines in braille dots, two by four a cell, all at once. Pure; needs numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""What each dot of a cell adds to U+2800."""


def line_cells(xs: NDArray[np.floating], ys: NDArray[np.floating], columns: int, rows: int) -> NDArray[np.int64]:
    """The cells of a line through points, as additions to U+2800, of shape ``(rows, columns)``; 0 where it is not.

    Args:
        xs: in cells from the left edge, not falling; at least one point. What lies outside is not drawn.
        ys: in cells from the top.
        columns: of the picture, at least 1.
        rows: of the picture, at least 1.
    """
    dots = _line_dots(2 * xs, 4 * ys, 2 * columns, 4 * rows)
    cells: NDArray[np.int64] = (dots.reshape(rows, 4, columns, 2) * _BITS[None, :, None, :]).sum(axis=(1, 3))
    return cells


def _line_dots(xs: NDArray[np.floating], ys: NDArray[np.floating], width: int, height: int) -> NDArray[np.bool_]:
    """Which dots a line through points takes, of shape ``(height, width)``: in each column one span of them."""
    centres = np.arange(width) + 0.5
    middle = np.where((centres >= xs[0]) & (centres <= xs[-1]), np.floor(np.interp(centres, xs, ys)), np.nan)
    low, high = middle.copy(), middle.copy()
    inside = (xs >= 0) & (xs <= width)
    at, rows = np.minimum(np.floor(xs[inside]).astype(int), width - 1), np.floor(ys[inside])
    np.fmin.at(low, at, rows)
    np.fmax.at(high, at, rows)
    # A column that ends far from the one before is lengthened until they touch.
    there = ~np.isnan(low[1:])
    longer = np.fmin(low[1:], high[:-1] + 1), np.fmax(high[1:], low[:-1] - 1)
    low[1:], high[1:] = (np.where(there, span, np.nan) for span in longer)
    every = np.arange(height)[:, None]
    return (every >= low) & (every <= high)
