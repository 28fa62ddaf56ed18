"""A screen as an SVG picture that looks the same everywhere: it fetches nothing and names no host.

Textual's own picture asks a server for its font. Here any monospaced font that is there will do: text is fitted to its
cells, and frames, bars and braille, which fonts draw in many ways and with gaps, are drawn as paths.
"""

from __future__ import annotations

import html
import io
import re
from collections import Counter
from collections.abc import Iterator

from rich.cells import cell_len
from rich.console import Console
from rich.segment import Segment, Segments
from rich.style import Style
from textual.app import App
from textual.widgets import Input, TextArea

FONTS = 'ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono", monospace'
CELL, LINE, BASELINE = 12.2, 24.4, 18.5
"""Width and height of a cell, and where letters stand in it, as Rich draws them."""
_TEXT = re.compile(
    r'<text class="t-(r\d+)" x="([\d.]+)" y="([\d.]+)" textLength="[\d.]+" clip-path="[^"]+">([^<]*)</text>'
)
_RUN = re.compile(r"[─━╸╺]+|[│╭╮╰╯]|[\u2800-\u28ff]+|[▁▂▃▄▅▆▇█]+|[^─━╸╺│╭╮╰╯\u2800-\u28ff▁▂▃▄▅▆▇█]+")
_BACKGROUNDS = re.compile(r'(?:<rect fill="#\w+" x="[\d.]+" y="[\d.]+" width="[\d.]+" height="24.65"[^>]*/>)+')
_BACKGROUND = re.compile(r'<rect fill="(#\w+)" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)"')
_BLOCKS = "▁▂▃▄▅▆▇█"
_CORNERS = {"╭": (1, 1), "╮": (-1, 1), "╰": (1, -1), "╯": (-1, -1)}
"""The sides to which they go: right is 1, down is 1."""


def picture(app: App[int], title: str) -> str:
    """What the app shows, in a window with a title."""
    for line in (*app.screen.query(Input), *app.screen.query(TextArea)):
        line.cursor_blink = False
    svg = _export(app, title)
    svg = re.sub(r"@font-face \{.*?\}\n", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->", "", svg)
    svg = re.sub(r"\bterminal-\d+-", "t-", svg)
    svg = re.sub(r"font-family: [^;]+;", f"font-family: {FONTS};", svg)
    fills = dict(re.findall(r"\.t-(r\d+) \{ fill: (#\w+)", svg))
    svg = _TEXT.sub(lambda found: "".join(_drawn(found, fills)), svg)
    svg = _BACKGROUNDS.sub(_background, svg, count=1)
    svg = re.sub(r'<clipPath id="t-line-\d+">.*?</clipPath>', "", svg, flags=re.DOTALL)
    return "\n".join(line.strip() for line in svg.splitlines() if line.strip()) + "\n"


def _export(app: App[int], title: str) -> str:
    """As ``App.export_screenshot`` does it, but that a terminal's own background is no colour."""
    width, height = app.size
    console = Console(width=width, height=height, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.record = True
    for strip in app.screen._compositor.render_strips(app.size):
        row = [Segment(text, _plain(style)) for text, style, _ in strip.simplify()]
        console.print(Segments([*row, Segment.line()]), end="")
    return console.export_svg(title=title)


def _plain(style: Style | None) -> Style:
    """A style whose background is left out where it is the terminal's own."""
    if style is None or style.bgcolor is None or not style.bgcolor.is_default or style.reverse:
        return style or Style()
    return style.without_color + Style(color=style.color)


def _background(found: re.Match[str]) -> str:
    """The colours behind the text: one that is behind most of it once for all, of the others one path each."""
    rows = [(colour, float(x), float(y), float(width)) for colour, x, y, width in _BACKGROUND.findall(found[0])]
    behind: Counter[str] = Counter()
    for colour, _, _, width in rows:
        behind[colour] += round(width)
    lines = max(y for _, _, y, _ in rows) / LINE
    whole = max(x + width for _, x, _, width in rows) * lines
    common = next((colour for colour, room in behind.most_common(1) if room > whole / 2), "")
    paths = {common: "M0 0h9999v9999H0z"} if common else {}
    for colour, x, y, width in rows:
        if colour != common:
            paths[colour] = paths.get(colour, "") + f"M{_n(x)} {_n(y - 1.5)}h{_n(width)}v{LINE}h-{_n(width)}z"
    return "".join(f'<path fill="{colour}" d="{path}" shape-rendering="crispEdges"/>' for colour, path in paths.items())


def _drawn(found: re.Match[str], fills: dict[str, str]) -> Iterator[str]:
    """The text of one style on one line, with what is drawn apart."""
    style, x, baseline, text = found[1], float(found[2]), float(found[3]), html.unescape(found[4])
    top = baseline - BASELINE
    for run in _RUN.findall(text.replace("\xa0", " ")):
        wide = cell_len(run) * CELL
        first, path, stroke = run[0], "", 1.5
        if first in "─━╸╺":
            path, stroke = _line(run, x, top), (1.5 if first == "─" else 3.0)
        elif first == "│":
            path = f"M{_n(x + CELL / 2)} {_n(top)}v{LINE}"
        elif first in _CORNERS:
            path = _corner(first, x, top)
        elif "\u2800" <= first <= "\u28ff":
            path, stroke = _dots(run, x, top), 3.0
        if path:
            colour = fills.get(style, "currentColor")
            yield f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{stroke}" stroke-linecap="round"/>'
        elif first in _BLOCKS:
            yield f'<path class="t-{style}" d="{_blocks(run, x, top)}"/>'
        elif run.strip():
            yield _letters(run, style, x, baseline)
        x += wide


def _letters(run: str, style: str, x: float, baseline: float) -> str:
    body = run.strip(" ")
    x += (len(run) - len(run.lstrip(" "))) * CELL
    shown = html.escape(body).replace(" ", "&#160;")
    length = _n(cell_len(body) * CELL)
    return f'<text class="t-{style}" x="{_n(x)}" y="{_n(baseline)}" textLength="{length}">{shown}</text>'


def _line(run: str, x: float, top: float) -> str:
    left = x + (CELL / 2 if run[0] == "╺" else 0)
    right = x + len(run) * CELL - (CELL / 2 if run[-1] == "╸" else 0)
    return f"M{_n(left)} {_n(top + LINE / 2)}H{_n(right)}"


def _corner(corner: str, x: float, top: float) -> str:
    across, down = _CORNERS[corner]
    middle, height = x + CELL / 2, top + LINE / 2
    end_x, end_y = middle + across * CELL / 2, height + down * LINE / 2
    return f"M{_n(end_x)} {_n(height)}Q{_n(middle)} {_n(height)} {_n(middle)} {_n(height + down * 6)}V{_n(end_y)}"


def _dots(run: str, x: float, top: float) -> str:
    """A dot for each that is set: two columns and four rows a cell."""
    bits = ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3))
    return "".join(
        f"M{_n(x + (index + column / 2 + 0.25) * CELL)} {_n(top + (row + 0.5) * LINE / 4)}h0"
        for index, character in enumerate(run)
        for bit, (column, row) in enumerate(bits)
        if (ord(character) - 0x2800) >> bit & 1
    )


def _blocks(run: str, x: float, top: float) -> str:
    parts = []
    for index, character in enumerate(run):
        height = LINE * (_BLOCKS.index(character) + 1) / 8
        parts.append(f"M{_n(x + index * CELL)} {_n(top + LINE - height)}h{CELL}v{_n(height)}h-{CELL}z")
    return "".join(parts)


def _n(value: float) -> str:
    """A coordinate, exact to a tenth."""
    return f"{value:.1f}".removesuffix(".0")
