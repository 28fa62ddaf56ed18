"""Keys of one's own: what they may be, and what is said of those that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.binding import Binding

from hegelion_tui import keys, preferences
from hegelion_tui.actions import ACTIONS, SCROLL_KEYS
from hegelion_tui.logs.view import LogView


@pytest.mark.parametrize(
    ("written", "normal", "shown"),
    [
        ("z", "z", "z"),
        ("?", "question_mark", "?"),
        (",", "comma", ","),
        ("+", "plus", "+"),
        ("ctrl+t", "ctrl+t", "ctrl+t"),
        ("f5, Z", "f5,Z", "f5"),
        ("question_mark", "question_mark", "?"),
        ("ä", "ä", "ä"),
    ],
)
def test_keys_may_be_written_as_they_look(written: str, normal: str, shown: str) -> None:
    assert keys.normal(written) == normal
    assert keys.shown(normal) == shown


@pytest.mark.parametrize("written", ["", "  ", 3, "notakey", "hyp+z", "z,,y", "ctrl+", "ctrl+c", "enter", "\x1b"])
def test_what_is_no_key_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="key"):
        keys.normal(written)


def test_what_cannot_be_used_is_left_out_and_named() -> None:
    keymap, problems = keys.read(
        {"train": "z", "trian": "k", "convert": "nope nope", "evaluate": "r", "stop": "f5", "detach": "G"}
    )
    assert keymap == {"train": "z", "stop": "f5"}
    assert problems == {
        "trian": "there is no such action, but train is one",
        "convert": "'nope nope' is no key; z, ctrl+t and f5 are",
        "evaluate": "r is the key of run_all already",
        "detach": "G scrolls a log already",
    }


def test_two_actions_may_change_places() -> None:
    assert keys.read({"train": "c", "convert": "t"}) == ({"train": "c", "convert": "t"}, {})


def test_screens_share_keys_but_the_chart_and_its_screen_do_not() -> None:
    assert keys.read({"accept": "r"})[0] == {"accept": "r"}
    assert keys.read({"zoom_in": "r"})[1] == {"zoom_in": "r is the key of run_all already"}


def test_the_keys_that_the_console_comes_with_differ_and_are_all_keys() -> None:
    for table in keys.TABLES.values():
        own = [key for action in table for key in action.keys.split(",")]
        assert len(own) == len(set(own))
        assert [keys.normal(key) for key in own] == own
        assert [keys.normal(keys.written(action.keys)) for action in table] == [action.keys for action in table]


def test_the_keys_of_a_log_are_known() -> None:
    own = [binding.key for binding in Binding.make_bindings(LogView.BINDINGS)]
    assert set(own) == SCROLL_KEYS | {"up", "down", "pageup", "pagedown"}


def test_keys_are_written_as_they_look() -> None:
    assert keys.written("question_mark,f1") == "?, f1"
    assert keys.written("comma") == "comma"
    assert keys.written("ctrl+s,plus") == "ctrl+s, +"


def test_without_an_app_of_ours_actions_keep_their_keys() -> None:
    assert keys.remapped(ACTIONS, None) == ACTIONS


def test_preferences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert preferences.read(tmp_path, {}) == preferences.Preferences()
    (tmp_path / "hegelion.toml").write_text("[console]\ntheme = 'nord'\n[keys]\ntrain = 'z'\n")
    assert preferences.read(tmp_path, {}) == preferences.Preferences("nord", False, {"train": "z"})
    monkeypatch.setenv("HEGELION_CONSOLE__THEME", "dracula")
    assert preferences.read(tmp_path, {}).theme == "dracula"
    found = preferences.read(tmp_path, {"console.theme": "gruvbox"})
    assert (found.theme, found.overruled) == ("gruvbox", True)
    (tmp_path / "hegelion.toml").write_text("[console]\nstage_ended = 'both'\nquota_out = 'horn'\n")
    found = preferences.read(tmp_path, {"console.teacher_silent": "bell"})
    assert found.alerts == {"stage_ended": "both", "teacher_silent": "bell"}
    assert found.problems == ("console.quota_out must be one of off, bell, desktop, both.",)
    (tmp_path / "hegelion.toml").write_text("keys = 3\n")
    assert "keys must be a table" in preferences.read(tmp_path, {}).problems[0]
    (tmp_path / "hegelion.toml").write_text("[\n")
    assert "not valid TOML" in preferences.read(tmp_path, {}).problems[0]
