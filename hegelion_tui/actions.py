"""Every action, once: this table feeds the keys, the footer, the command palette and the help."""

from __future__ import annotations

from dataclasses import dataclass

from textual.binding import Binding, BindingType


@dataclass(frozen=True)
class Action:
    """Something a person can do; the screen's ``action_<name>`` does it."""

    name: str
    keys: str
    """As Textual names them, with commas between alternatives."""
    shown: str
    """The key as people read it."""
    label: str
    help: str
    rank: int = 0
    """Where it stands when the footer is short of room, 1 the last to go; 0: not in the footer."""

    first: bool = False
    """Whether its key is looked at before what has the keyboard gets it."""

    @property
    def binding(self) -> BindingType:
        return Binding(
            self.keys,
            self.name,
            self.label,
            key_display=self.shown,
            id=self.name,
            tooltip=self.help,
            priority=self.first,
        )


ACTIONS: tuple[Action, ...] = (
    Action("run_all", "r", "r", "Run", "Run every stage; what is done already is skipped.", 1),
    Action("generate", "g", "g", "Generate", "Ask the teacher until the target is reached.", 5),
    Action("convert", "c", "c", "Convert", "Turn samples into training rows.", 10),
    Action("train", "t", "t", "Train", "Train the student under SCU.", 6),
    Action("evaluate", "e", "e", "Evaluate", "Compare base and adapter.", 11),
    Action("more_instances", "plus,equals_sign", "+", "More", "One generator instance more.", 7),
    Action("fewer_instances", "minus", "-", "Fewer", "One generator instance fewer.", 8),
    Action("stop", "s", "s", "Stop", "Stop what runs; everything made so far is kept.", 4),
    Action("stop_one", "S", "S", "Stop one", "Stop the generator whose pane has the keyboard; the others go on."),
    Action("maximise", "m", "m", "Zoom", "Give the focused pane the whole screen, and back.", 9),
    Action("beside", "vertical_line", "|", "Beside", "Put the pane beside the one before it, and back."),
    Action("merge", "i", "i", "Merge logs", "Show the generators' logs as one, by time, and back."),
    Action("next_metric", "x", "x", "Metric", "Chart the next metric: loss, S, λ, bits."),
    Action("next_pane", "tab", "tab", "Next pane", "Go to the next pane."),
    Action("previous_pane", "shift+tab", "shift+tab", "Previous pane", "Go to the pane before."),
    Action("show_samples", "d", "d", "Samples", "Look through the samples; accept, reject, edit, export.", 12),
    Action("show_compare", "C", "C", "Compare", "Ask base and adapter, side by side; the evaluation's answers.", 13),
    Action("show_settings", "p", "p", "Settings", "See and change every setting, and the keys.", 14),
    Action("show_checklist", "h", "h", "Checklist", "See what is ready, what is wrong, and mend it.", 15),
    Action("choose_theme", "T", "T", "Theme", "Choose other colours."),
    Action("show_help", "question_mark,f1", "?", "Help", "Show what every key does.", 3),
    Action("detach", "D", "D", "Detach", "Leave at once; work that is under way goes on without the screen."),
    Action("ask_quit", "q", "q", "Quit", "Leave; if work is under way, asks whether it goes on without the screen.", 2),
)

CHART_ACTIONS: tuple[Action, ...] = (
    Action("zoom_in", "right_square_bracket", "]", "Zoom in", "Chart: fewer steps; it goes on following.", 1),
    Action("zoom_out", "left_square_bracket", "[", "Zoom out", "Chart: more steps, up to the whole run."),
    Action("earlier_steps", "left", "←", "Earlier", "Chart: earlier steps, frozen."),
    Action("later_steps", "right", "→", "Later", "Chart: later steps; at the end it follows again."),
    Action("next_mode", "v", "v", "Mode", "Chart: whole run, live, or frozen.", 2),
    Action("next_smoothing", "a", "a", "Smoothing", "Chart: how much is smoothed; the raw curve stays behind.", 3),
    Action("toggle_log", "l", "l", "Log axis", "Chart: logarithmic axis, and back.", 4),
    Action("choose_overlay", "o", "o", "Overlay", "Chart: draw an earlier run behind this one.", 5),
    Action("cursor_back", "comma", ",", "Cursor back", "Chart: tell the values of a step (or click on it)."),
    Action("cursor_on", "full_stop", ".", "Cursor on", "Chart: tell the values of a later step."),
    Action("clear_cursor", "escape", "esc", "No cursor", "Chart: take the cursor away."),
)
"""What can be done while the chart has the keyboard; ``ChartPane.action_<name>`` does it. Its frame shows those with a
rank."""

SAMPLE_ACTIONS: tuple[Action, ...] = (
    Action("accept", "a", "a", "Accept", "Accept this one, whatever the contract said of it.", 3),
    Action("reject", "x", "x", "Reject", "Reject it: it counts for nothing any more. Asks why.", 4),
    Action("edit", "e", "e", "Edit", "Write its four parts anew.", 5),
    Action("undo", "u", "u", "Undo", "Take the last decision on it back.", 6),
    Action("search", "slash", "/", "Search", "Find text or a regular expression in prompts and texts.", 2),
    Action("filter", "f", "f", "Filter", "Show one state after the other, then all again.", 8),
    Action("switch_view", "v", "v", "Samples/others", "Samples, or the attempts that gave none.", 7),
    Action("mark", "space", "space", "Mark", "Mark this one for an export, or not any more.", 11),
    Action("export", "w", "w", "Export", "Write the marked ones, or all that are shown, into a file.", 9),
    Action("next_pane", "tab,shift+tab", "tab", "Table/text", "Go from the table to the text, and back.", 10),
    Action("maximise", "m", "m", "Zoom", "Give table or text the whole screen, and back.", 12),
    Action("show_help", "question_mark,f1", "?", "Help", "Show what every key does.", 13),
    Action("back", "escape,q,d", "esc", "Back", "Leave off searching and filtering; then back to the run.", 1),
)
"""What can be done on the samples screen; ``SamplesScreen.action_<name>`` does it."""

CHECK_ACTIONS: tuple[Action, ...] = (
    Action(
        "fix",
        "f",
        "f",
        "Fix",
        "Mend this one, where that is safe; asks before it installs or fetches.",
        2,
    ),
    Action("look_again", "r", "r", "Look again", "Go through all checks again.", 3),
    Action("next_trouble", "n", "n", "Next trouble", "Go to the next one that is to be mended or worth a look.", 4),
    Action("next_pane", "tab,shift+tab", "tab", "List/text", "Go from the list to the text below, and back.", 5),
    Action("show_help", "question_mark,f1", "?", "Help", "Show what every key does.", 6),
    Action("back", "escape,q,h", "esc", "Back", "Back to the run.", 1),
)
"""What can be done on the checklist; ``ChecklistScreen.action_<name>`` does it."""

CHECK_KEYS = (("↑ ↓ PgUp PgDn Home End", "Go through the checks, or scroll the text."),)
"""Keys that its list has by itself, for the help."""

SAMPLE_KEYS = (
    ("↑ ↓ PgUp PgDn", "Go through the table, or scroll the text."),
    ("Home End", "To the first, to the last."),
    ("Enter", "Read this one."),
)
"""Keys that its table has by itself, for the help."""

COMPARE_ACTIONS: tuple[Action, ...] = (
    Action("ask", "slash,a", "/", "Ask", "Go to the question line; Enter asks base and adapter.", 2),
    Action("stop", "s", "s", "Stop", "Stop what is answered; what has come so far stays.", 4),
    Action("next_pane", "tab", "tab", "Next pane", "Go on: question line, list, base, adapter.", 3),
    Action("previous_pane", "shift+tab", "shift+tab", "Previous pane", "Go back."),
    Action("next_temperature", "t", "t", "Sampling", "Greedy, or sampled at a temperature: for the next question.", 5),
    Action("raw", "w", "w", "Raw", "The text as the models wrote it, or its parts apart.", 6),
    Action("switch_side", "v", "v", "Other side", "Show the other answer, where only one has room.", 7),
    Action("maximise", "m", "m", "Zoom", "Give one answer the whole width, and back.", 8),
    Action("show_help", "question_mark,f1", "?", "Help", "Show what every key does.", 9),
    Action("back", "escape,q,C", "esc", "Back", "Stop what is answered; then back to the run.", 1),
)
"""What can be done on the compare screen; ``CompareScreen.action_<name>`` does it."""

COMPARE_KEYS = (
    ("Enter", "In the question line: ask. In the list: take the question into the line."),
    ("↑ ↓", "Choose a question, also from the line; scroll an answer."),
    ("PgUp PgDn", "Scroll both answers; in an answer: that one."),
)
"""Keys that its widgets have by themselves, for the help. Letters are keys outside of the question line."""

LOG_ACTIONS: tuple[Action, ...] = (
    Action("search", "slash", "/", "Search", "Log: search the whole log for a regular expression."),
    Action("next_match", "n", "n", "Next match", "Log: go to the next match."),
    Action("previous_match", "N", "N", "Previous match", "Log: go to the match before."),
    Action("filter", "f,ampersand", "f", "Filter", "Log: show only the lines that match a regular expression."),
    Action("wrap", "w", "w", "Wrap", "Log: wrap long lines, or scroll sideways with ← and →."),
    Action(
        "copy", "y", "y", "Copy", "Log: copy what is selected (drag, or shift and arrows), else what is on the screen."
    ),
    Action("select_up", "shift+up", "shift+↑", "Select up", "Log: select a line, and then the one above it."),
    Action("select_down", "shift+down", "shift+↓", "Select down", "Log: select a line, and then the one below it."),
    Action(
        "clear", "escape", "esc", "Clear", "Log: undo, one by one: the selection, the search, the filter.", first=True
    ),
)
"""What a focused log can do; ``LogPane.action_<name>`` does it."""

SCROLLING = (
    ("↑ ↓ PgUp PgDn", "Scroll a log, also j k b space; following stops, and the pane counts what is new."),
    ("Home <", "Go to the first line of the file."),
    ("End > G", "Follow the log again."),
)
"""Keys that panes have by themselves, for the help."""
SCROLL_KEYS = frozenset({"j", "k", "space", "b", "less_than_sign", "greater_than_sign", "G"})
"""Those of a log that has the keyboard, as Textual names them: no action beside it can have one of them."""

SETTING_ACTIONS: tuple[Action, ...] = (
    Action("change", "e", "⏎", "Change", "Change it: type a value, choose one, or turn it over; saved at once.", 2),
    Action("reset", "delete,backspace", "del", "Reset", "Take it out of hegelion.toml: the default counts again.", 5),
    Action("undo", "u", "u", "Undo", "Take the last change back.", 4),
    Action("search", "slash", "/", "Search", "Find settings by name, value or meaning, in all sections.", 3),
    Action("filter", "f", "f", "Changed", "Show only what is not as it came, or all again.", 6),
    Action("next_pane", "tab,shift+tab", "tab", "Sections", "Go from the sections to the settings, and back.", 7),
    Action("show_help", "question_mark,f1", "?", "Help", "Show what every key does.", 8),
    Action("back", "escape,q,p", "esc", "Back", "Leave off changing and searching; then back to the run.", 1),
)
"""What can be done on the settings screen; ``SettingsScreen.action_<name>`` does it."""

SETTING_KEYS = (
    ("↑ ↓ PgUp PgDn", "Go through sections or settings."),
    ("Enter", "Change this setting."),
)
"""Keys that its lists have by themselves, for the help."""
