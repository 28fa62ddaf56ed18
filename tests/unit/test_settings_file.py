"""The settings file: one value changes and everything else stays, whatever the file looks like."""

from __future__ import annotations

import difflib
import stat
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hegelion_core.errors import ExitCode, UserError
from hegelion_core.setting_words import Setting, Wanted, describe
from hegelion_core.settings import check, described, resolve
from hegelion_core.settings_file import Sources, Standing, put, remove, shown

SETTINGS = {setting.name: setting for setting in described()}
FILE = """\
# Ours, since May.
[generation]
limit = 200      # a small one first
  instances=4

# What trains.
[training]
# lr = 1e-4      tried that
iters = 300
lrr = 3

[future]
thing = { a = 1 }
"""


def sources(root: Path, text: str | None = None, **environment: str) -> Sources:
    if text is not None:
        (root / "hegelion.toml").write_bytes(text.encode())
    return Sources(root, {}, environment={f"HEGELION_{name}": value for name, value in environment.items()})


def standing(found: Sources, name: str) -> Standing:
    return next(one for one in found.standings().settings if one.setting.name == name)


@pytest.mark.parametrize(
    ("name", "value", "before", "after"),
    [
        ("generation.limit", "300", "limit = 200 ", "limit = 300 "),
        ("generation.instances", "8", "  instances=4", "  instances=8"),
        ("generation.seed", "5", "  instances=4\n", "  instances=4\nseed = 5\n"),
        ("training.lr", "2e-5", "lrr = 3\n", "lrr = 3\nlr = 2e-5\n"),
        ("training.use_rslora", "yes", "lrr = 3\n", "lrr = 3\nuse_rslora = true\n"),
        ("training.hosts", "10.0.0.1, b", "lrr = 3\n", 'lrr = 3\nhosts = ["10.0.0.1", "b"]\n'),
        ("evaluation.answers", "3", "thing = { a = 1 }\n", "thing = { a = 1 }\n\n[evaluation]\nanswers = 3\n"),
    ],
)
def test_one_value_changes_and_nothing_else(tmp_path: Path, name: str, value: str, before: str, after: str) -> None:
    found = sources(tmp_path, FILE)
    found.save(SETTINGS[name], value)
    assert found.path.read_text() == FILE.replace(before, after)


def test_a_setting_is_taken_out_of_the_file(tmp_path: Path) -> None:
    found = sources(tmp_path, FILE)
    found.save(SETTINGS["training.iters"], None)
    assert found.path.read_text() == FILE.replace("iters = 300\n", "")
    found.save(SETTINGS["training.iters"], None)
    assert found.path.read_text() == FILE.replace("iters = 300\n", "")


def test_a_file_that_is_not_there_is_made(tmp_path: Path) -> None:
    found = sources(tmp_path)
    found.save(SETTINGS["generation.output"], "a/b.jsonl")
    assert found.path.read_text() == '[generation]\noutput = "a/b.jsonl"\n'


def test_line_ends_rights_and_a_link_stay(tmp_path: Path) -> None:
    real = tmp_path / "shared.toml"
    real.write_bytes(FILE.replace("\n", "\r\n").encode())
    real.chmod(0o640)
    (tmp_path / "hegelion.toml").symlink_to(real.name)
    sources(tmp_path).save(SETTINGS["generation.seed"], "5")
    expected = FILE.replace("instances=4\n", "instances=4\nseed = 5\n").replace("\n", "\r\n")
    assert real.read_bytes() == expected.encode()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert (tmp_path / "hegelion.toml").is_symlink()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("generation.instances", "x", "generation.instances must be a whole number from 1 to 64, not 'x'."),
        ("training.lr", "0", "training.lr must be a number above 0 and up to 1, not '0'."),
        ("training.lora_dropout", "1", "training.lora_dropout must be a number from 0 to below 1, not '1'."),
        ("training.kp", "inf", "training.kp must be a number, 0 or more, not 'inf'."),
        ("training.lora_alpha", "nan", "training.lora_alpha must be a number above 0, not 'nan'."),
        ("training.grad_checkpoint", "maybe", "training.grad_checkpoint must be true or false, not 'maybe'."),
        (
            "training.lr_schedule",
            "cosin",
            "must be 'constant', 'linear' or 'cosine', not 'cosin'.\nDid you mean 'cosine'?",
        ),
        ("teacher.url", "ftp://x", "must be an address such as http://localhost:8080/v1, not 'ftp://x'."),
        ("training.memory_limit", "much", "must be GiB such as 12, or a share such as 75%, not 'much'."),
        ("training.hosts", "a b", "training.hosts must be addresses with commas between them, not 'a b'."),
        ("generation.output", "", "generation.output must be a path, not ''."),
        ("generation.dataset", "", "generation.dataset must be a text that is not empty, not ''."),
        ("training.scu_reference", "zero", "belongs to the published law."),
        ("generation.output", "hegelion.toml", "both the settings file and the sample file"),
    ],
)
def test_what_is_not_valid_is_told_and_not_written(tmp_path: Path, name: str, value: str, words: str) -> None:
    found = sources(tmp_path, "# mine\n")
    with pytest.raises(UserError) as raised:
        found.save(SETTINGS[name], value)
    assert words in str(raised.value)
    assert raised.value.hint
    assert raised.value.exit_code == ExitCode.USAGE
    assert found.path.read_text() == "# mine\n"


@pytest.mark.parametrize(
    ("flags", "environment", "place"),
    [
        ({"generation.instances": "x"}, {}, "command line"),
        ({}, {"HEGELION_GENERATION__INSTANCES": "x"}, "environment"),
        ({}, {}, "hegelion.toml"),
    ],
)
def test_every_source_is_refused_in_the_same_words(
    tmp_path: Path, flags: dict[str, object], environment: dict[str, str], place: str
) -> None:
    if place == "hegelion.toml":
        (tmp_path / place).write_text("[generation]\ninstances = 'x'\n")
    with pytest.raises(UserError) as raised:
        resolve(tmp_path, flags, environment=environment)
    assert raised.value.message == f"{place}: generation.instances must be a whole number from 1 to 64, not 'x'."


def test_what_stands_and_where_it_comes_from(tmp_path: Path) -> None:
    found = sources(tmp_path, FILE.replace("iters = 300", "iters = 'x'"), GENERATION__LIMIT="7")
    limit = standing(found, "generation.limit")
    assert (limit.value, limit.source, limit.written) == ("7", "environment", 200)
    assert limit.overruled == "the environment variable HEGELION_GENERATION__LIMIT"
    assert standing(found, "generation.instances").overruled == ""
    assert standing(found, "training.iters").problem == "training.iters must be a whole number, 1 or more, not 'x'."
    assert standing(found, "training.lr").source == "default"
    assert dict(found.standings().unknown) == {"training.lrr": 3, "future.thing": {"a": 1}}
    demo = standing(Sources(tmp_path, {"training.lr": "1"}, demo=True, environment={}), "training.batch_size")
    assert (demo.value, demo.source, demo.overruled) == (1, "demo", "--demo")


@pytest.mark.parametrize("text", ["generation = 3\n", "[[generation]]\nlimit = 1\n"])
def test_a_file_that_cannot_be_changed_here_stays(tmp_path: Path, text: str) -> None:
    found = sources(tmp_path, text)
    with pytest.raises(UserError, match=r"hegelion\.toml: generation.seed cannot be changed here"):
        put(text, "generation", "seed", 1)
    assert found.path.read_text() == text


def test_the_keys_of_the_console_are_not_the_cores_business(tmp_path: Path) -> None:
    (tmp_path / "hegelion.toml").write_text("[keys]\ntrain = 'z'\nnothing = 3\n")
    assert resolve(tmp_path, {}, environment={})


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (Wanted(type="number", maximum=3), "a number up to 3"),
        (Wanted(type="number", exclusive_minimum=0.5, exclusive_maximum=2), "a number above 0.5 and below 2"),
        (Wanted(type="integer"), "a whole number"),
        (Wanted(enum=("a",)), "'a'"),
    ],
)
def test_ranges_in_words(wanted: Wanted, words: str) -> None:
    assert describe(wanted) == words


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_every_default_is_what_its_words_want(setting: Setting) -> None:
    assert setting.meaning
    assert setting.words
    assert check(setting, setting.default) == setting.default


names = st.sampled_from(["limit", "seed", "instances", "lr", "iters", '"odd name"'])
values = st.sampled_from(["3", "1e-5", "true", '"text # none"', "'x'", "[1, 2]", "{ a = 1 }", '"""\nlong\n"""'])
comments = st.sampled_from(["", " # why", "\t# ä λ"])
noise = st.sampled_from(["", "\n", "# a comment\n", "\n# two\n# lines\n\n", "   \n"])


@st.composite
def files(draw: st.DrawFn) -> str:
    text = draw(noise)
    for section in draw(st.lists(st.sampled_from(["generation", "training", "future", "keys"]), unique=True)):
        text += f"[{section}]{draw(comments)}\n" + draw(noise)
        for name in draw(st.lists(names, unique=True)):
            text += f"{draw(st.sampled_from(['', '  ']))}{name} = {draw(values)}{draw(comments)}\n" + draw(noise)
    return text.rstrip("\n") if draw(st.booleans()) else text


@settings(deadline=None)
@given(files(), st.sampled_from(["generation", "training", "evaluation"]), names, st.sampled_from([7, 0.5, True, "ä#"]))
def test_whatever_the_file_only_that_value_changes(
    text: str, section: str, key: str, value: bool | float | str
) -> None:
    key = key.strip('"')
    new = put(text, section, key, value)
    expected = tomllib.loads(text)
    expected.setdefault(section, {})[key] = value
    assert tomllib.loads(new) == expected
    lost = [line[2:] for line in difflib.ndiff(text.splitlines(), new.splitlines()) if line.startswith("- ")]
    assert len(lost) <= 3, "a value has three lines at most here"
    assert not any(line.lstrip().startswith("#") for line in lost)


@settings(deadline=None)
@given(files(), st.sampled_from(["generation", "training"]), names)
def test_taking_a_value_out_keeps_every_comment_line(text: str, section: str, key: str) -> None:
    key = key.strip('"')
    new = remove(text, section, key)
    expected = tomllib.loads(text)
    expected.get(section, {}).pop(key, None)
    assert tomllib.loads(new) == expected
    assert [line for line in new.splitlines() if line.lstrip().startswith("#")] == [
        line for line in text.splitlines() if line.lstrip().startswith("#")
    ]


@pytest.mark.parametrize(
    ("value", "text"), [(None, ""), (True, "true"), ((), ""), (("a", "b"), "a, b"), (1e-05, "1e-5"), ("x", "x")]
)
def test_values_as_people_write_them(value: object, text: str) -> None:
    assert shown(value) == text
