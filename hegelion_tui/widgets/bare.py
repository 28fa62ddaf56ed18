"""Containers that show nothing of their own: Textual would render each of their lines, which what is in them hides."""

from __future__ import annotations

from textual.containers import Grid, Horizontal, Vertical
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget


def bare_lines(widget: Widget, crop: Region) -> list[Strip]:
    """The background of a widget without border, as many times as it has lines; ``render_lines`` of one."""
    strip = Strip.blank(crop.width, widget.visual_style.rich_style)
    for line_filter in widget.get_line_filters():  # those of NO_COLOR and of the terminal's colours
        strip = strip.apply_filter(line_filter, widget.background_colors[1])
    return [strip] * crop.height


class BareGrid(Grid):
    render_lines = bare_lines


class BareRow(Horizontal):
    render_lines = bare_lines


class BareColumn(Vertical):
    render_lines = bare_lines
