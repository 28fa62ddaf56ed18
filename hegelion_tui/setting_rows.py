"""Settings, keys and what is unknown, as rows of the settings screen. Pure: standings in, styled text out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from textual.content import Content

from hegelion_core.commands.text import printable
from hegelion_core.setting_sources import KEYS, SETTINGS_FILE, variable
from hegelion_core.settings_file import Standing, Standings, shown
from hegelion_tui import keys
from hegelion_tui.alerts import KINDS
from hegelion_tui.preferences import THEME, alert_setting

UNKNOWN = "unknown"
INSTANCES = "generation.instances"
AT_ONCE = (THEME, *(alert_setting(kind) for kind in KINDS))
"""Settings that need no new run."""


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    section: str
    label: str
    value: str
    source: str
    meaning: str
    wanted: str = ""
    default: str = ""
    changed: bool = False
    """Whether the file, the environment or a flag says something."""
    problem: str = ""
    overruled: str = ""
    """What stands over the file."""
    written: str = ""
    """What the file says, if anything."""
    in_file: bool = False
    standing: Standing | None = None
    """Of a setting."""

    @property
    def name(self) -> str:
        return self.label if self.section == UNKNOWN else f"{self.section}.{self.label}"

    def matches(self, text: str) -> bool:
        """Whether a search finds it: every word somewhere, capitals or not."""
        hay = f"{self.name} {self.value} {self.source} {self.meaning} {self.wanted}".casefold()
        return all(word in hay for word in text.casefold().split())


def rows(standings: Standings, key_table: Mapping[str, object], themes: Sequence[str]) -> list[Row]:
    """Everything that can be set, in the order of the tree, then the keys, then what is unknown."""
    found = [_setting(standing, themes) for standing in standings.settings]
    found += _keys(key_table)
    about = "Nothing of that name is known here. It is kept as it is; an editor can take it out."
    found += [_strange(name, value, about) for name, value in standings.unknown.items()]
    return sorted(found, key=lambda row: row.section == UNKNOWN)


def _setting(standing: Standing, themes: Sequence[str]) -> Row:
    setting = standing.setting
    default = shown(setting.default) or "none"
    problem = standing.problem
    if setting.name == THEME and not problem and str(standing.value) not in themes:
        problem = "there is no theme of that name"
    return Row(
        setting.section,
        setting.key,
        one_line(shown(standing.value)) or "none",
        standing.source,
        f"{setting.meaning[:1].upper()}{setting.meaning[1:]}.",
        f"{setting.words}{', or none' if setting.wanted.optional else ''}",
        default,
        standing.source in ("environment", "flag") or standing.written is not None,
        problem,
        standing.overruled,
        one_line(shown(standing.written)),
        standing.written is not None,
        standing,
    )


def _keys(table: Mapping[str, object]) -> list[Row]:
    _, wrong = keys.read(table)
    found: list[Row] = []
    known = keys.names()
    for name, action in known.items():
        written = one_line(str(table[name])) if name in table else ""
        found.append(
            Row(
                KEYS, name, written or keys.written(action.keys), "file" if name in table else "default", action.help,
                "a key such as z, ctrl+t or f5; several with commas between them", keys.written(action.keys),
                name in table, wrong.get(name, ""), "", written, name in table,
            )
        )  # fmt: skip
    strange = [name for name in table if name not in known]
    return found + [_strange(f"{KEYS}.{name}", table[name], f"T{wrong[name][1:]}.") for name in strange]


def _strange(name: str, value: object, about: str) -> Row:
    shown_value = one_line(shown(value))
    return Row(UNKNOWN, name, shown_value, "file", about, changed=True, problem="not known", written=shown_value)


def one_line(text: str) -> str:
    """On one line, and fit for a terminal."""
    return " ".join(printable(text).split())


# Drawing


@dataclass(frozen=True)
class Columns:
    """Cells of the columns."""

    label: int
    value: int
    source: int
    meaning: int

    @classmethod
    def fitting(cls, width: int, label: int) -> Columns:
        """For ``width`` cells and labels up to ``label`` of them."""
        room = width - 2
        label = min(label, max(12, room // 2))
        source = 11  # 'environment'
        rest = max(8, room - label - source - 4)
        value = rest if rest < 60 else max(24, rest // 3)
        return cls(label, value, source, rest - value - 2 if rest >= 60 else 0)


def head(columns: Columns) -> Content:
    """What the columns are called."""
    names = [("setting", columns.label), ("value", columns.value), ("source", columns.source)]
    names += [("meaning", columns.meaning)] if columns.meaning else []
    return Content.assemble("  ", *((_fit(name, width) + "  ", "dim") for name, width in names))


def row(item: Row, columns: Columns, *, full_name: bool = False) -> Content:
    """A line of the table: ● what was changed, ✗ what cannot be used."""
    mark, style = ("✗", "bold $error") if item.problem else ("●", "$accent") if item.changed else (" ", "")
    label = item.name if full_name else item.label
    parts: list[str | tuple[str, str]] = [
        (f"{mark} ", style),
        (_fit(label, columns.label), "bold" if item.changed else "") if item.changed else _fit(label, columns.label),
        "  ",
        (_fit(item.value, columns.value), style) if style else _fit(item.value, columns.value),
        "  ",
        (_fit(item.source, columns.source), "dim"),
    ]
    if columns.meaning:
        parts += ["  ", (_fit(item.meaning, columns.meaning), "dim")]
    return Content.assemble(*parts)


def _fit(text: str, width: int) -> str:
    content = Content(text)
    return content.truncate(width, ellipsis=True).pad_right(max(0, width - content.cell_length)).plain


def detail(item: Row, *, wide: bool) -> Content:
    """All about a row: what it means, what it takes, where its value comes from and when another counts."""
    lines: list[Content] = [Content.assemble((item.name, "bold"), "  ", item.meaning)]
    if item.problem:
        lines.append(
            Content.assemble(("✗ ", "bold $error"), f"{item.problem[:1].upper()}{item.problem[1:]}".rstrip(".") + ".")
        )
    if item.wanted:
        lines.append(Content.assemble(("Takes ", "dim"), item.wanted, (" · default ", "dim"), item.default))
    lines.append(Content.assemble((_whence(item, wide=wide), "dim")))
    return Content("\n").join(lines)


def _whence(item: Row, *, wide: bool) -> str:
    if item.overruled:
        said = f"{SETTINGS_FILE} says {item.written}, which" if item.written else f"what is saved in {SETTINGS_FILE}"
        return f"Set by {item.overruled}; {said} has no effect while that is there."
    if item.section == UNKNOWN:
        return f"In {SETTINGS_FILE}."
    when = takes_effect(item)
    where = f" Environment: {variable(item.name)}." if wide and item.standing is not None else ""
    return f"{when}{where}"


def takes_effect(item: Row) -> str:
    """When a value that is saved now counts."""
    if item.section == KEYS or item.name in AT_ONCE:
        return "Takes effect at once."
    if item.name == INSTANCES:
        return "Takes effect at once, also while samples are generated."
    return "Takes effect when a run is opened next; the run that is open keeps its own."
