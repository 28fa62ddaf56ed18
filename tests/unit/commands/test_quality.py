"""``hegelion-console quality``: what a person, a script and the file system get."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from hegelion_core.commands import quality as command
from hegelion_core.commands.quality import quality
from hegelion_core.commands.quality_words import lines
from hegelion_core.errors import ExitCode
from hegelion_core.generation.quality import assess
from hegelion_core.generation.quality_report import QualityReport
from hegelion_tui.cli import run
from tests.fakes.sample_files import Row, output, row, text, write

Capture = pytest.CaptureFixture[str]


def clean_rows(count: int = 6) -> list[Row]:
    return [row(f"Why {text(number, 8)[:-1]}?") for number in range(count)]


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    return write(tmp_path / "s.jsonl", clean_rows())


def call(*arguments: object) -> int:
    return run([str(argument) for argument in arguments], command=quality)


def test_a_clean_file_is_reported_for_people_and_passes_the_strict_check(samples: Path, capsys: Capture) -> None:
    assert call(samples, "--strict") == ExitCode.DONE
    told = capsys.readouterr()
    assert "samples            6 in 6 rows" in told.out
    assert "held out           none (of 24 prompts)" in told.out
    assert "no duplicates, no overlap with held-out prompts, no unusable lines" in told.out
    assert "\x1b" not in told.out
    assert told.err == ""


@pytest.mark.parametrize(
    "extra", [row(f"Why {text(0, 8)[:-1]}?"), row("Is it new?", output(f"Why {text(1, 8)[:-1]}?")), b"{", row("What?")]
)
def test_strict_fails_on_duplicates_leaks_and_unusable_lines(
    tmp_path: Path, extra: Row | bytes, capsys: Capture
) -> None:
    held_out = tmp_path / "held.txt"
    held_out.write_text("what?\n")
    path = write(tmp_path / "s.jsonl", [*clean_rows(), extra])
    assert call(path, "--strict", "--held-out", held_out) == ExitCode.FAILED
    assert call(path, "--held-out", held_out) == ExitCode.DONE
    assert "Findings" in capsys.readouterr().out


def test_json_is_the_whole_report(samples: Path, capsys: Capture) -> None:
    assert call(samples, "--json", "--threshold", "0.9") == ExitCode.DONE
    told = capsys.readouterr()
    found = msgspec.json.decode(told.out, type=QualityReport)
    assert (found.accepted, found.near_threshold, found.held_out.prompts) == (6, 0.9, 24)


def test_the_settings_name_the_file_and_the_held_out_prompts(tmp_path: Path, capsys: Capture) -> None:
    write(tmp_path / "mine.jsonl", clean_rows())
    (tmp_path / "held.txt").write_text("one?\ntwo?\n")
    (tmp_path / "hegelion.toml").write_text(
        '[generation]\noutput = "mine.jsonl"\n[evaluation]\nprompts = "held.txt"\n', encoding="utf-8"
    )
    assert call("--workspace", tmp_path, "--json") == ExitCode.DONE
    found = msgspec.json.decode(capsys.readouterr().out, type=QualityReport)
    assert (found.accepted, found.held_out.prompts) == (6, 2)


def test_bad_input_is_one_clear_line(tmp_path: Path, capsys: Capture) -> None:
    empty, binary = tmp_path / "empty.jsonl", tmp_path / "binary.jsonl"
    empty.touch()
    binary.write_bytes(b"\x00\xff\x1b[2J" * 100)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, words in (
        (tmp_path / "nope.jsonl", "there is no such sample file"),
        (tmp_path, "is a folder"),
        (pipe, "is no regular file"),
        (empty, "is empty"),
        (binary, "is no sample file"),
    ):
        assert call(path) == ExitCode.USAGE
        told = capsys.readouterr()
        assert told.out == ""
        assert told.err.startswith(f"error: {path}: {words}")
        assert len(told.err.splitlines()) == 2


@pytest.mark.parametrize("arguments", [("--threshold", "7"), ("--held-out", "no-such-file"), ("--what",)])
def test_bad_flags_are_bad_usage(samples: Path, arguments: tuple[str, ...], capsys: Capture) -> None:
    assert call(samples, *arguments) == ExitCode.USAGE
    assert capsys.readouterr().err.startswith("error: ")


def test_what_samples_hold_cannot_steer_a_terminal(tmp_path: Path, capsys: Capture) -> None:
    evil = {**row("What \x1b[2J\u202eis it?"), "id": "p\x1b]0;x\x07\u202e"}
    path = write(
        tmp_path / "s.jsonl", [evil, evil, b'{"output": "x\\u001b[2J"}', row("Else?", teacher="k\x1b[2J\u202e")]
    )
    held_out = tmp_path / "held.jsonl"
    held_out.write_bytes(msgspec.json.encode({"prompt": "What [2J\u202eis it?"}))
    assert call(path, "--held-out", held_out) == ExitCode.DONE
    told = capsys.readouterr().out
    assert "line 2 is line 1 again" in told
    assert all(char.isprintable() or char == "\n" for char in told)


def test_the_card_is_written_beside_the_samples_and_again(samples: Path, capsys: Capture) -> None:
    card = samples.parent / "README.md"
    assert call(samples, "--card", card, "--license", "mit", "--language", "en") == ExitCode.DONE
    first = card.read_text("utf-8")
    assert "path: s.jsonl" in first
    assert "license: mit" in first
    assert str(samples.parent) not in first
    assert "Card written" in capsys.readouterr().err
    assert call(samples, "--card", card) == ExitCode.DONE
    assert "license: mit" not in card.read_text("utf-8")
    assert [path.name for path in samples.parent.iterdir() if "tmp" in path.name] == []


def test_the_card_in_another_folder_names_the_file_alone(samples: Path, tmp_path: Path) -> None:
    (tmp_path / "cards").mkdir()
    card = tmp_path / "cards" / "README.md"
    assert call(samples, "--card", card) == ExitCode.DONE
    assert "path: s.jsonl" in card.read_text("utf-8")
    assert call(samples, "--card", tmp_path / "TOP.md") == ExitCode.DONE


def test_a_file_of_another_is_replaced_only_by_force(samples: Path, capsys: Capture) -> None:
    card = samples.parent / "README.md"
    card.write_text("# Mine\n")
    assert call(samples, "--card", card) == ExitCode.USAGE
    assert card.read_text() == "# Mine\n"
    assert "no card of ours" in capsys.readouterr().err
    assert call(samples, "--card", card, "--force") == ExitCode.DONE
    assert card.read_text("utf-8").startswith("---\n")


@pytest.mark.parametrize("force", [(), ("--force",)])
def test_the_card_never_replaces_the_samples(samples: Path, force: tuple[str, ...]) -> None:
    before = samples.read_bytes()
    link = samples.parent / "link.md"
    link.symlink_to(samples)
    for target in (samples, link, samples.parent, samples.parent / "no" / "README.md"):
        assert call(samples, "--card", target, *force) == ExitCode.USAGE
    assert samples.read_bytes() == before


def test_no_card_is_written_of_nothing(tmp_path: Path, capsys: Capture) -> None:
    path = write(tmp_path / "s.jsonl", [{"a": 1}, {"b": 2}])
    assert call(path, "--card", tmp_path / "README.md") == ExitCode.FAILED
    assert not (tmp_path / "README.md").exists()
    assert "no usable sample" in capsys.readouterr().err
    assert call(path) == ExitCode.DONE


def test_progress_is_shown_on_a_terminal_and_only_for_large_files(
    samples: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for worth, shown in ((1, True), (1 << 30, False)):
        terminal = Terminal()
        monkeypatch.setattr(command, "_WORTH_PROGRESS", worth)
        monkeypatch.setattr(sys, "stderr", terminal)
        assert call(samples) == ExitCode.DONE
        assert bool(terminal.getvalue()) == shown
        assert "Quality of" in capsys.readouterr().out


def test_ctrl_c_ends_it_cleanly(tmp_path: Path) -> None:
    path = write(tmp_path / "s.jsonl", clean_rows(200))
    code = (
        "import sys, os, signal\n"
        "from hegelion_core.generation import decisions as heart\n"
        "from hegelion_core.commands.quality import quality\n"
        "from hegelion_tui.cli import run\n"
        "real = heart.read_row\n"
        "def read_row(line):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    return real(line)\n"
        "heart.read_row = read_row\n"
        "sys.exit(run(sys.argv[1:], command=quality))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), "--card", str(tmp_path / "README.md")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert done.returncode == ExitCode.INTERRUPTED
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "README.md").exists()


def test_the_report_in_words_names_what_was_found(tmp_path: Path) -> None:
    rows: list[Row | bytes] = [*clean_rows(2), row("What?"), row("WHAT?", output("b", answer="No.")), b"{"]
    write(tmp_path / "s.rejected.jsonl", [{"reason": "refusal"}, {"kind": "failed", "reason": "rate"}, b"{"])
    found = assess(write(tmp_path / "s.jsonl", rows), tmp_path / "s.rejected.jsonl", ["what?"])
    told = [line.text for line in lines(found, "s.jsonl")]
    for expected in (
        "  samples            4 in 5 rows",
        "  unusable lines     1: 1 broken_line",
        "  prompts            1 more than once",
        "  held out           2 exactly, 0 nearly (of 1 prompt)",
        "  rejected           1 refusal; 80.0% of the judged answers were accepted",
        "  failed calls       1 rate",
        "  unreadable         1 line",
        "  short answer       1 sample: the answer has fewer than 8 words",
        "  2 samples with a held-out prompt",
    ):
        assert expected in told
    assert {line.kind for line in lines(found, "s.jsonl")} == {"title", "figure", "finding", "detail"}
