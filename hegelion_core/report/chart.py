"""Line charts as inline SVG. Pure. Colours are classes, so that the page's style decides them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from hegelion_core.curves import Points
from hegelion_core.report.markup import Node, element, together
from hegelion_core.ticks import Tick, linear_ticks, log_ticks

Role = Literal["raw", "main", "second", "target"]
"""How a series is drawn: faint, in the accent, in the second colour, dashed."""

_WIDTH, _HEIGHT = 640.0, 260.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 70.0, 12.0, 10.0, 40.0
_MOST_DOTS = 60
"""Points that are marked one by one; of more, the line tells."""


@dataclass(frozen=True)
class Series:
    """Points ``(x, y)`` under one name, in the order of x."""

    label: str
    role: Role
    points: Points
    dots: bool = False
    """Whether few points are marked one by one."""


@dataclass(frozen=True)
class Mark:
    """A place on the x axis that has a name."""

    x: float
    label: str


def figure(
    title: str,
    series: Sequence[Series],
    *,
    x_title: str,
    y_title: str,
    note: str = "",
    logarithmic: bool = False,
    from_zero: bool = False,
    marks: Sequence[Mark] = (),
) -> Node | None:
    """A chart with its title and what its lines mean; ``None`` if there is nothing to draw.

    Args:
        title: of the figure.
        series: from back to front.
        x_title: what the x axis counts; its marks are whole numbers where the values are.
        y_title: what the y axis measures, with its unit.
        note: a sentence below.
        logarithmic: whether the y axis is; values that are not above 0 are left out then.
        from_zero: whether the y axis begins at 0.
        marks: vertical lines.
    """
    drawn = [replace(each, points=_usable(each.points, logarithmic)) for each in series]
    drawn = [each for each in drawn if each.points]
    if not any(each.role != "target" for each in drawn):
        return None
    legend = (element("li", element("span", class_=f"key {each.role}"), each.label) for each in reversed(drawn))
    return element(
        "figure",
        element("figcaption", element("strong", title), element("ul", *legend, class_="legend")),
        _svg(drawn, title, x_title, y_title, marks, logarithmic=logarithmic, from_zero=from_zero),
        element("p", note, class_="note") if note else None,
    )


def _usable(points: Points, logarithmic: bool) -> Points:
    finite = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    return [(x, math.log10(y)) for x, y in finite if y > 0] if logarithmic else finite


def _svg(
    series: list[Series],
    title: str,
    x_title: str,
    y_title: str,
    marks: Sequence[Mark],
    *,
    logarithmic: bool,
    from_zero: bool,
) -> Node:
    values = [y for each in series for _, y in each.points]
    places = [x for each in series for x, _ in each.points]
    low, high = _range(0.0 if from_zero else min(values), max(values), 0.06)
    low = 0.0 if from_zero else low
    first, last = _range(min(places), max(places), 0.0)
    whole = all(x.is_integer() for x in places)

    def at_x(x: float) -> float:
        return _LEFT + (x - first) / (last - first) * (_WIDTH - _LEFT - _RIGHT)

    def at_y(y: float) -> float:
        return _HEIGHT - _BOTTOM - (y - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    y_ticks = log_ticks(low, high, 5) if logarithmic else linear_ticks(low, high, 5)
    x_ticks = linear_ticks(first, last, 8, least_interval=1.0 if whole else 0.0)
    return element(
        "svg",
        _grid(x_ticks, y_ticks, at_x, at_y),
        element("text", x_title, x=_WIDTH - _RIGHT, y=_HEIGHT - 6, class_="end"),
        element("text", y_title, class_="middle", transform=f"translate(12 {(_HEIGHT - _BOTTOM) / 2:.0f}) rotate(-90)"),
        *(_mark(mark, at_x(mark.x)) for mark in marks if first <= mark.x <= last),
        *(_line(each, at_x, at_y, logarithmic) for each in series),
        viewBox=f"0 0 {_WIDTH:.0f} {_HEIGHT:.0f}",
        role="img",
        aria_label=f"{title}: {', '.join(each.label for each in series)}",
    )


def _range(low: float, high: float, padding: float) -> tuple[float, float]:
    """A range that holds both and is not empty."""
    if high > low:
        return low - padding * (high - low), high + padding * (high - low)
    room = abs(low) * 0.1 or 1.0
    return low - room, high + room


def _grid(
    x_ticks: Sequence[Tick], y_ticks: Sequence[Tick], at_x: Callable[[float], float], at_y: Callable[[float], float]
) -> Node:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    lines: list[Node] = []
    for tick in y_ticks:
        y = round(at_y(tick.at), 1)
        lines.append(element("line", x1=_LEFT, x2=right, y1=y, y2=y, class_="grid"))
        lines.append(element("text", tick.label, x=_LEFT - 6, y=round(y + 4, 1), class_="end"))
    for tick in x_ticks:
        x = round(at_x(tick.at), 1)
        lines.append(element("line", x1=x, x2=x, y1=bottom, y2=bottom + 4, class_="axis"))
        lines.append(element("text", tick.label, x=x, y=bottom + 17, class_="middle"))
    lines.append(element("line", x1=_LEFT, x2=right, y1=bottom, y2=bottom, class_="axis"))
    return together(lines)


def _mark(mark: Mark, x: float) -> Node:
    side, shift = ("end", -5) if x > _WIDTH / 2 else ("", 5)
    return together(
        (
            element("line", x1=round(x, 1), x2=round(x, 1), y1=_TOP, y2=_HEIGHT - _BOTTOM, class_="mark"),
            element("text", mark.label, x=round(x + shift, 1), y=_TOP + 9, class_=side or None),
        )
    )


def _line(series: Series, at_x: Callable[[float], float], at_y: Callable[[float], float], logarithmic: bool) -> Node:
    path = " ".join(f"{at_x(x):.1f},{at_y(y):.1f}" for x, y in series.points)
    dots: list[Node] = []
    if len(series.points) == 1 or (series.dots and len(series.points) <= _MOST_DOTS):
        for x, y in series.points:
            told = f"{series.label} at {x:g}: {10**y if logarithmic else y:.4g}"
            dot = element("title", told)
            dots.append(element("circle", dot, cx=round(at_x(x), 1), cy=round(at_y(y), 1), r=3, class_=series.role))
    return together((element("polyline", points=path, class_=series.role), *dots))
