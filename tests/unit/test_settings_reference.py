"""The settings reference is what the code says."""

from __future__ import annotations

from tests.settings_reference import FILE, reference


def test_it_is_up_to_date() -> None:
    assert FILE.read_text("utf-8") == reference(), "'make docs' writes it anew"


def test_flags_are_told_with_their_commands() -> None:
    page = reference()
    assert "`--student`, `--model` of convert, train, evaluate" in page
    assert (
        "| `training.lr` | a number above 0 and up to 1 | `1e-05`; demo `0.003` | `--lr`, `--learning-rate` |" in page
    )
