"""Settings: the later source wins, each value knows its source, and a mistake names its place and the nearest name."""

from __future__ import annotations

from pathlib import Path

import pytest

from hegelion_core.errors import ExitCode, UserError
from hegelion_core.settings import DEFAULT_LIMIT, DEMO, Settings, check, described, names, resolve


def test_the_defaults_are_the_guides() -> None:
    settings = resolve(Path("/nowhere"), {}, environment={}).settings
    assert settings.generation.teacher == "kimi-cli"
    assert settings.generation.dataset == "HuggingFaceH4/ultrafeedback_binarized"
    assert settings.generation.split == "train_prefs"
    assert settings.generation.limit is None
    assert DEFAULT_LIMIT == 500
    assert settings.generation.instances == 2
    assert str(settings.generation.output) == "artifacts/data/hegelion_kimi_training_data.jsonl"
    assert str(settings.conversion.output) == "artifacts/data/hegelion_scu_ready.jsonl"
    assert settings.training.model == "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B"
    assert str(settings.training.adapter_path) == "artifacts/adapters/hegelion_1.5b_v1"
    assert (settings.training.batch_size, settings.training.iters, settings.training.lr) == (4, 500, 1e-5)
    assert settings.training.max_seq_length == 4096


def test_later_sources_win_and_are_named(tmp_path: Path) -> None:
    (tmp_path / "hegelion.toml").write_text("[generation]\nlimit = 7\nseed = 7\ninstances = 7\n")
    environment = {"HEGELION_GENERATION__SEED": "8", "HEGELION_GENERATION__INSTANCES": "8", "HOME": "x"}
    resolved = resolve(tmp_path, {"generation.instances": "9"}, environment=environment)
    generation = resolved.settings.generation
    assert (generation.limit, generation.seed, generation.instances) == (7, 8, 9)
    assert resolved.sources["generation.limit"] == "file"
    assert resolved.sources["generation.seed"] == "environment"
    assert resolved.sources["generation.instances"] == "flag"
    assert resolved.sources["training.lr"] == "default"


def test_the_demo_stands_over_the_file_and_below_flags(tmp_path: Path) -> None:
    (tmp_path / "hegelion.toml").write_text('[generation]\nteacher = "kimi-code"\nlimit = 99\n')
    resolved = resolve(tmp_path, {"generation.limit": 3}, demo=True, environment={})
    assert resolved.settings.generation.teacher == "local"
    assert resolved.settings.generation.limit == 3


def test_the_demo_sets_known_settings_only() -> None:
    assert set(DEMO) <= set(names())


def test_every_setting_says_what_it_means() -> None:
    for section in Settings.model_fields.values():
        for name, field in section.annotation.model_fields.items():  # type: ignore[union-attr]
            assert field.description, name


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("[generation]\nlimt = 3\n", ["hegelion.toml", "generation.limt", "generation.limit"]),
        ("[teacher]\nurl = 'ftp://host/v1'\n", ["hegelion.toml", "teacher.url", "http://localhost:8080/v1"]),
        ("[teacher]\nurl = 'http://host:port'\n", ["hegelion.toml", "teacher.url"]),
        ("[teacher]\nurl = 'http://me:swordfish@host/v1'\n", ["'http://[redacted]@host/v1'", "OPENAI_BASE_URL"]),
        ("[generation]\noutput = ''\n", ["hegelion.toml", "generation.output", "must be a path, not ''"]),
        ("[generation]\noutput = 'hegelion.toml'\n", ["hegelion.toml", "both the settings file and the sample file"]),
        ("limit = 3\n", ["hegelion.toml", "limit", "generation.limit"]),
        (
            "[generation]\nlimit = 0\n",
            ["hegelion.toml", "generation.limit", "must be a whole number from 1 to 1,000,000, not 0"],
        ),
        ("[generation]\nlimit = 'many'\n", ["hegelion.toml", "generation.limit", "many"]),
        ("[generation\n", ["hegelion.toml", "TOML", "line 1"]),
    ],
)
def test_a_mistake_in_the_file_says_what_where_and_what_to_do(tmp_path: Path, toml: str, words: list[str]) -> None:
    (tmp_path / "hegelion.toml").write_text(toml)
    with pytest.raises(UserError) as raised:
        resolve(tmp_path, {}, environment={})
    assert raised.value.exit_code == ExitCode.USAGE
    assert raised.value.hint
    text = str(raised.value)
    assert len(text.splitlines()) <= 2
    for word in words:
        assert word in text


def test_a_reference_of_zero_belongs_to_the_published_law() -> None:
    flags: dict[str, object] = {"training.scu_reference": "zero"}
    with pytest.raises(UserError, match="belongs to the published law") as caught:
        resolve(Path("/nowhere"), flags, environment={})
    assert caught.value.exit_code is ExitCode.USAGE
    assert resolve(Path("/nowhere"), {**flags, "training.scu_law": "published"}, environment={})


@pytest.mark.parametrize(
    ("flags", "zero"),
    [({}, False), ({"scu_law": "published"}, True), ({"scu_law": "published", "scu_reference": "initial"}, False)],
)
def test_s_counts_from_where_each_law_has_it(flags: dict[str, object], zero: bool) -> None:
    given = {f"training.{name}": value for name, value in flags.items()}
    assert resolve(Path("/nowhere"), given, environment={}).settings.training.counts_from_zero is zero


def test_a_name_without_end_is_not_told_whole(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown setting training\.xxx") as refused:
        resolve(tmp_path, {f"training.{'x' * 60_000}": "1"}, environment={})
    assert len(refused.value.message) < 200


@pytest.mark.parametrize(
    "address",
    [
        "https://me:swordfish-12@host/v1",
        "https://swordfish-12@host/v1",
        "https://me:sword/swordfish-12@host/v1",
        "https://host/v1?api-key=swordfish-12",
        "me:swordfish-12@host",
    ],
)
@pytest.mark.parametrize("how", ["flag", "variable", "file", "console"])
def test_an_address_with_a_credential_is_refused_and_not_shown(address: str, how: str, tmp_path: Path) -> None:
    """A run keeps its settings: what is refused cannot be kept."""
    if how == "file":
        (tmp_path / "hegelion.toml").write_text(f'[teacher]\nurl = "{address}"\n')
    environment = {"HEGELION_TEACHER__URL": address} if how == "variable" else {}
    url = next(each for each in described() if each.name == "teacher.url")
    with pytest.raises(UserError, match="without a password or key") as caught:
        _ = (
            check(url, address)
            if how == "console"
            else resolve(tmp_path, {"teacher.url": address} if how == "flag" else {}, environment=environment)
        )
    assert caught.value.exit_code == ExitCode.USAGE
    assert "swordfish" not in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 2
