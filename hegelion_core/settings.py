"""Every setting, one tree: defaults < hegelion.toml < environment < demo < flags; each value knows its source.

A setting's name is its path in the tree, ``section.name``. In ``hegelion.toml`` the section is a table, in the
environment the name is ``HEGELION_SECTION__NAME``.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
)

from hegelion_core import setting_words
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.redaction import Redactor
from hegelion_core.setting_sources import SETTINGS_FILE, Source, flatten, from_environment, parse, read_text
from hegelion_core.setting_words import Setting

BUNDLED = "bundled"
"""As a data set: the prompts that ship with this package. As a model: SmolLM2-135M-Instruct."""

DEFAULT_LIMIT = 500
"""Accepted samples wanted where nobody says how many and the prompts do not tell."""

Telling = Literal["off", "bell", "desktop", "both"]
TeacherName = Literal["kimi-cli", "kimi-code", "kimi-legacy", "openai", "local"]
URL_WORDS = "an address such as http://localhost:8080/v1"
BASE_URL = "OPENAI_BASE_URL"
"""The variable that holds the endpoint's address where ``teacher.url`` does not; it is never kept."""
NO_CREDENTIALS = (
    "an address without a password or key (a key goes into the variable that teacher.key_variable names, an address "
    f"that needs a password into the variable {BASE_URL})"
)
MEMORY_WORDS = "GiB such as 12, or a share such as 75%"
HOSTS_WORDS = "addresses with commas between them"

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Name = Annotated[str, Field(min_length=1)]


def _usable_path(value: object) -> object:
    if value == "":  # which would mean the workspace folder
        raise ValueError("a path")
    try:
        str(value).encode()
    except UnicodeEncodeError:
        raise ValueError("a path whose name is UTF-8") from None
    return value


def _usable_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    # A run keeps its settings, and they are shown.
    if "@" in value or Redactor({})(value) != value:
        raise ValueError(NO_CREDENTIALS)
    if not usable:
        raise ValueError(URL_WORDS)
    return value


def _counted_if_not_positive(value: object) -> object:
    """As the published trainer takes it: -1 means counted, and 1e6 is a number of tokens."""
    try:
        number = float(str(value))
    except ValueError:
        return value
    return None if number <= 0 else int(number) if number.is_integer() else value


def _usable_limit(value: str) -> str:
    try:
        memory_bytes(value, 1 << 40)
    except ValueError:
        raise ValueError(MEMORY_WORDS) from None
    return value


def memory_bytes(limit: str, total: int) -> int:
    """A memory limit in bytes.

    Args:
        limit: GiB (``12`` or ``1.5GiB``), or a share of ``total`` (``75%``).
        total: bytes of the machine's memory.

    Raises:
        ValueError: it is neither, or nothing, or more than all.
    """
    if limit.endswith("%"):
        share = float(limit[:-1])
        if not 0 < share <= 100:
            raise ValueError(limit)
        return int(total * share / 100)
    size = float(limit.removesuffix("GiB"))
    if not 0 < size < 1 << 20:
        raise ValueError(limit)
    return int(size * (1 << 30))


def _split_commas(value: object) -> object:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


Url = Annotated[str, AfterValidator(_usable_url), WithJsonSchema({"type": "string", "words": URL_WORDS})]
Hosts = Annotated[
    tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:%][A-Za-z0-9_.:%@-]*$")], ...],
    BeforeValidator(_split_commas),
    WithJsonSchema({"type": "array", "words": HOSTS_WORDS}),
]
MemoryLimit = Annotated[
    str,
    BeforeValidator(str),
    AfterValidator(_usable_limit),
    WithJsonSchema({"type": "string", "words": MEMORY_WORDS}),
]
FilePath = Annotated[Path, BeforeValidator(_usable_path)]


class Section(BaseModel):
    """What every section of the tree shares."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


class GenerationSettings(Section):
    """Prompts and samples."""

    teacher: TeacherName = Field(
        "kimi-cli", description="who writes the samples; kimi-cli takes whichever kimi is there"
    )
    dataset: Name = Field(
        "HuggingFaceH4/ultrafeedback_binarized", description="hub data set, local folder, or 'bundled'"
    )
    split: Name = Field("train_prefs", description="split of the data set")
    revision: str | None = Field(None, description="revision of the hub data set; none: the newest, recorded")
    prompt_file: FilePath | None = Field(
        None, description="a text file (a prompt a line) or JSONL file instead of a data set"
    )
    limit: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="accepted samples wanted in the output file, in all; none: 500, or a whole prompt file's",
    )
    instances: int = Field(2, ge=1, le=64, description="generator instances that run at once")
    seed: int = Field(0, ge=0, description="seed of the order of the prompts")
    prefer: Literal["arguable", "any"] = Field(
        "arguable", description="which prompts are asked first: those that can be argued, or all alike"
    )
    council: Literal["none", "council", "security", "editorial", "debate", "comprehensive"] = Field(
        "none", description="critics of each thesis, in calls of their own; none: all parts in one reply"
    )
    judge: bool = Field(False, description="have a judge score each sample, in a call of its own")
    min_score: float = Field(0.0, ge=0, le=10, description="samples under this score (0 to 10) are rejected; 0: none")
    max_attempts: int = Field(3, ge=1, le=20, description="attempts before a prompt is set aside")
    max_prompt_chars: int = Field(20_000, ge=1, description="longer prompts are left out, counted and said")
    first_line_timeout: Seconds = Field(60, description="seconds until a teacher's first line")
    silence_timeout: Seconds = Field(300, description="seconds without output until a call is ended")
    total_timeout: Seconds = Field(900, description="seconds until a call is ended")
    quota_wait: float = Field(
        21_600,
        ge=0,
        le=2_592_000,
        description="seconds that a run may wait, in all, for quotas; then exit 75",
    )
    output: FilePath = Field(Path("artifacts/data/hegelion_kimi_training_data.jsonl"), description="the sample file")


class TeacherSettings(Section):
    """How the teacher is run."""

    model: str | None = Field(
        None, description="model: Kimi's alias, the endpoint's name, or folder or hub name for the local teacher"
    )
    url: Url | None = Field(None, description="base URL of an OpenAI-compatible endpoint (teacher openai)")
    key_variable: str = Field(
        "OPENAI_API_KEY", description="environment variable that holds the endpoint's key (teacher openai)"
    )
    max_new_tokens: int | None = Field(
        None, ge=40, le=262_144, description="tokens an answer may have; none: the provider's limit, local 300"
    )
    temperature: float | None = Field(
        None, ge=0, le=2, description="sampling temperature; none: the provider's default, local 0.7"
    )
    top_p: float | None = Field(None, gt=0, le=1, description="nucleus sampling; none: the provider's default")
    thinking: Literal["default", "on", "off"] = Field("default", description="whether the teacher thinks first")
    batch: int = Field(6, ge=1, le=64, description="prompts an instance has in flight (local teacher)")


class ConversionSettings(Section):
    """Samples to training rows."""

    template: Literal["student", "chatml"] = Field("student", description="the student's own chat template, or ChatML")
    output: FilePath = Field(Path("artifacts/data/hegelion_scu_ready.jsonl"), description="the training rows")


class TrainingSettings(Section):
    """LoRA under the Shannon Control Unit."""

    trainer: Literal["scu", "standard"] = Field(
        "scu", description="ours with SCU, or 'standard': plain LoRA through mlx-lm's own trainer"
    )
    model: str = Field(
        "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", description="student: hub name, folder or 'bundled'"
    )
    adapter_path: FilePath = Field(
        Path("artifacts/adapters/hegelion_1.5b_v1"), description="where the adapter is written"
    )
    batch_size: int = Field(4, ge=1, le=1024, description="rows an optimizer step sees")
    micro_batch_size: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="rows of a step that pass the model at a time; none: all; fewer need less memory",
    )
    grad_checkpoint: bool = Field(False, description="compute activations again for the gradient: slower, less memory")
    iters: int = Field(500, ge=1, description="optimizer steps")
    lr: float = Field(1e-5, gt=0, le=1, description="learning rate, at its highest")
    lr_schedule: Literal["constant", "linear", "cosine"] = Field(
        "constant", description="how the learning rate falls after the warm-up, towards 0 at the last step"
    )
    warmup: int = Field(5, ge=0, description="optimizer steps over which the learning rate rises to its highest")
    max_grad_norm: float = Field(1.0, ge=0, description="gradients are scaled down to this norm; 0: never")
    max_seq_length: int = Field(4096, ge=16, description="tokens a row may have")
    num_layers: int = Field(-1, ge=-1, description="last layers that get LoRA; -1: all")
    lora_rank: int = Field(16, ge=1, le=1024, description="rank of the LoRA matrices")
    lora_alpha: float = Field(32.0, gt=0, description="scale of the update is alpha / rank")
    use_rslora: bool = Field(False, description="scale of the update is alpha / sqrt(rank), stable over ranks")
    fine_tune_type: Literal["lora", "dora"] = Field(
        "lora", description="low-rank update, or with a magnitude for each output as well (DoRA)"
    )
    lora_dropout: float = Field(0.0, ge=0, lt=1, description="dropout before the LoRA matrices")
    scu_law: Literal["decoupled", "published"] = Field(
        "decoupled", description="how lambda follows S: our law, or the published one to the letter"
    )
    scu_reference: Literal["initial", "zero"] | None = Field(
        None, description="weights from which S counts; none: initial, and zero for the published law"
    )
    auto_stop: bool = Field(
        False, description="stop once the controller has settled, off its bounds, and validation is flat"
    )
    target_s: float = Field(0.01, gt=0, lt=1, description="share S* of the update's cost that SCU holds")
    kp: float = Field(0.8, ge=0, description="proportional gain, per relative error (published law: absolute)")
    ki: float = Field(0.15, ge=0, description="integral gain, per relative error (published law: absolute)")
    lambda_init: float = Field(1.0, ge=0, description="strength of the pull at the start; 0: plain LoRA")
    prior_sigma: float = Field(0.01, gt=0, description="standard deviation of the prior on each LoRA weight")
    tokens_per_epoch: Annotated[int | None, BeforeValidator(_counted_if_not_positive)] = Field(
        None, ge=1, description="N of the formulas; none (or -1): counted from the rows"
    )
    scu_update_freq: int = Field(10, ge=1, description="optimizer steps between updates of lambda")
    report_every: int = Field(10, ge=1, description="optimizer steps between Step lines")
    checkpoint_every: int = Field(25, ge=1, description="optimizer steps between checkpoints")
    track: Literal["none", "tensorboard", "trackio", "wandb"] = Field(
        "none", description="where metrics go too, beside metrics.jsonl, through that program's own library"
    )
    validation_share: float = Field(0.1, ge=0, lt=1, description="share of the prompts held out from training")
    validate_every: int | None = Field(
        None, ge=1, description="optimizer steps between validations; none: as many as between checkpoints"
    )
    keep: Literal["best", "last"] = Field(
        "best", description="weights that become the adapter: of the best validation, or of the last step"
    )
    patience: int = Field(0, ge=0, description="validations without improvement after which training stops; 0: never")
    sample_every: int = Field(100, ge=0, description="optimizer steps between sample answers; 0: none")
    sample_prompts: int = Field(2, ge=1, le=32, description="held-out prompts that are answered while training")
    sample_tokens: int = Field(200, ge=1, description="tokens that a sample answer may have")
    memory_limit: MemoryLimit | None = Field(
        None, description="memory of the trainer: GiB, such as 12, or a share of the machine's, such as 75%"
    )
    allow_shorter: bool = Field(
        False, description="cut rows shorter where memory runs out with one row at a time; otherwise training fails"
    )
    seed: int = Field(0, ge=0, description="seed of initialisation, order, dropout and split")
    processes: int = Field(1, ge=1, le=64, description="processes on each host that share the rows of a step")
    hosts: Hosts = Field((), description="addresses of the machines that train together, this one first; none: this")
    hostfile: FilePath | None = Field(None, description="a host file of mlx.launch, in place of hosts and processes")
    backend: Literal["ring", "mpi", "jaccl", "jaccl-ring", "nccl"] | None = Field(
        None, description="how the processes talk; none: the host file's, else ring, or nccl on CUDA"
    )
    port: int | None = Field(
        None, ge=1024, le=65_000, description="first port of the processes; none: free ones, or MLX's with other hosts"
    )

    @property
    def together(self) -> bool:
        """Whether several processes train together."""
        return self.processes > 1 or bool(self.hosts) or self.hostfile is not None

    @property
    def validation_interval(self) -> int:
        """Optimizer steps between validations."""
        return self.validate_every or self.checkpoint_every

    @property
    def counts_from_zero(self) -> bool:
        """Whether S is the cost of the weights themselves, instead of their distance from where they began."""
        return (self.scu_reference or ("zero" if self.scu_law == "published" else "initial")) == "zero"


class EvaluationSettings(Section):
    """Base against adapter."""

    prompts: FilePath | None = Field(None, description="held-out prompts, as for generation; none: the bundled ones")
    answers: int = Field(6, ge=0, le=1000, description="prompts that both models answer")
    max_new_tokens: int = Field(1024, ge=1, description="tokens an answer may have")
    seed: int = Field(0, ge=0, description="seed of the sampler")


class ConsoleSettings(Section):
    """How the console looks, and what it tells someone who is not looking."""

    theme: Name = Field("hegelion-dark", description="colours of the console; the palette shows the names")
    stage_ended: Telling = Field("off", description="how it is told that a stage or the run has ended")
    quota_out: Telling = Field("off", description="how it is told that the teacher's quota is used up")
    teacher_silent: Telling = Field("off", description="how it is told that a teacher has gone silent")


class Settings(Section):
    """The whole tree. Relative paths are below the workspace."""

    generation: GenerationSettings = GenerationSettings()
    teacher: TeacherSettings = TeacherSettings()
    conversion: ConversionSettings = ConversionSettings()
    training: TrainingSettings = TrainingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    console: ConsoleSettings = ConsoleSettings()


DEMO: Mapping[str, object] = {
    "generation.teacher": "local",
    "generation.dataset": BUNDLED,
    "generation.limit": 12,
    "generation.output": "artifacts/demo/data/hegelion_kimi_training_data.jsonl",
    "conversion.output": "artifacts/demo/data/hegelion_scu_ready.jsonl",
    "teacher.max_new_tokens": 300,
    "training.model": BUNDLED,
    "training.adapter_path": "artifacts/demo/adapters/hegelion_demo",
    "training.batch_size": 1,
    "training.iters": 24,
    # With some 2,000 supervised tokens, the default prior and target would hold the adapter where it started.
    "training.lr": 3e-3,
    "training.prior_sigma": 0.1,
    "training.target_s": 0.1,
    "training.max_seq_length": 1024,
    "training.num_layers": 8,
    "training.lora_rank": 8,
    "training.lora_alpha": 16.0,
    "training.scu_update_freq": 2,
    "training.report_every": 2,
    "training.checkpoint_every": 6,
    "training.validation_share": 0.17,
    "evaluation.max_new_tokens": 150,
}
"""What ``--demo`` sets: the main job in minutes, with real models and no account."""


@dataclass(frozen=True)
class ResolvedSettings:
    """The settings of a run and where each value came from (``section.name`` to source)."""

    settings: Settings
    sources: Mapping[str, Source]


def names() -> list[str]:
    """Every setting's name, ``section.name``, in the order of the tree."""
    return [f"{section}.{name}" for section, model in _sections().items() for name in model.model_fields]


@dataclass(frozen=True)
class Merged:
    """What every source said, the later ones over the earlier, not yet checked."""

    values: Mapping[str, object]
    sources: Mapping[str, Source]
    """Of every setting."""
    places: Mapping[str, str]
    """Where each of ``values`` stands."""


def merge(
    file: Mapping[str, object],
    environment: Mapping[str, object],
    flags: Mapping[str, object],
    *,
    demo: bool = False,
) -> Merged:
    """Lay the sources over each other; each is ``section.name`` to value."""
    layers: list[tuple[Source, str, Mapping[str, object]]] = [
        ("file", SETTINGS_FILE, file),
        ("environment", "environment", environment),
        ("demo", "demo", DEMO if demo else {}),
        ("flag", "command line", flags),
    ]
    values: dict[str, object] = {}
    sources: dict[str, Source] = dict.fromkeys(names(), "default")
    places: dict[str, str] = {}
    for source, place, layer in layers:
        for name, value in layer.items():
            values[name], sources[name], places[name] = value, source, place
    if "teacher.url" in values and sources["generation.teacher"] == "default":
        values["generation.teacher"] = "openai"  # an endpoint was named: nothing else can be meant
    return Merged(values, sources, places)


def resolve(
    workspace: Path,
    flags: Mapping[str, object],
    *,
    demo: bool = False,
    environment: Mapping[str, str] | None = None,
    text: str | None = None,
) -> ResolvedSettings:
    """Merge all sources, the later ones over the earlier.

    Args:
        workspace: the folder in which ``hegelion.toml`` may lie.
        flags: setting name to value, only those that were given.
        demo: put the demo's values over file and environment.
        environment: the process's, unless given.
        text: what stands in the file, unless it is to be read.

    Raises:
        UserError: an unknown setting (with the nearest name) or a value that is not valid, and where it stands.
    """
    written = flatten(parse(read_text(workspace / SETTINGS_FILE) if text is None else text))
    merged = merge(written, from_environment(os.environ if environment is None else environment), flags, demo=demo)
    known = set(names())
    for name in merged.values:
        if name not in known:
            raise unknown(name, merged.places[name])
    if "teacher.url" in flags and flags.get("generation.teacher", "openai") != "openai":
        teacher = flags["generation.teacher"]
        hint = "Leave one of them out, or use the teacher openai."
        raise UserError(f"command line: teacher.url means nothing to the teacher {teacher}.", hint, ExitCode.USAGE)
    tree: dict[str, dict[str, object]] = {}
    for name, value in merged.values.items():
        section, _, key = name.partition(".")
        tree.setdefault(section, {})[key] = value
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        raise _explain(error, merged.places) from None
    _refuse_shared_files(workspace, settings)
    _refuse_zero_reference(settings.training, merged.places)
    return ResolvedSettings(settings, merged.sources)


def _refuse_shared_files(workspace: Path, settings: Settings) -> None:
    """What is read is never written over.

    Raises:
        UserError: a file is named both as an input and as an output, or for two outputs.
    """
    generation = settings.generation
    named = {
        "the settings file": Path(SETTINGS_FILE),
        "the prompt file": generation.prompt_file,
        "the data set": Path(generation.dataset),
        "the evaluation's prompt file": settings.evaluation.prompts,
        "the file of the training rows": settings.conversion.output,
        "the sample file": generation.output,
    }
    seen: dict[Path, str] = {}
    for what, path in named.items():
        if path is None:
            continue
        real = (workspace / path).resolve()
        written = what in ("the file of the training rows", "the sample file")
        if written and real in seen:
            hint = "Name another file (--output)." if what == "the sample file" else "Name another file."
            raise UserError(f"{path}: is both {seen[real]} and {what}.", hint, ExitCode.USAGE)
        seen[real] = what


def _refuse_zero_reference(training: TrainingSettings, places: Mapping[str, str]) -> None:
    """The decoupled pull shrinks the distance to its reference: to zero, it would end the training, not steer it.

    Raises:
        UserError: that was asked for.
    """
    if training.scu_law == "decoupled" and training.counts_from_zero:
        raise UserError(
            f"{places['training.scu_reference']}: training.scu_reference = 'zero' belongs to the published law.",
            "Add --scu_law published, or leave the reference out.",
            ExitCode.USAGE,
        )


def _sections() -> dict[str, type[Section]]:
    found: dict[str, type[Section]] = {}
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            found[name] = field.annotation
    return found


_LONGEST_NAME = 80
"""Characters of a setting's name that are told; none of ours is as long."""


def unknown(name: str, place: str) -> UserError:
    """There is no such setting; the nearest one is named."""
    known = names()
    name = name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"
    section, _, key = name.rpartition(".")
    same = [other for other in known if other.partition(".")[2] == key]
    longer = [other for other in known if other.startswith(f"{section}.") and key in other.partition(".")[2].split("_")]
    near = same or longer or difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]}?" if near else f"The sections are {', '.join(_sections())}."
    return UserError(f"{place}: unknown setting {name}.", hint, ExitCode.USAGE)


def described() -> list[Setting]:
    """Every setting, in the order of the tree."""
    found: list[Setting] = []
    for section, model in _sections().items():
        schemas = model.model_json_schema()["properties"]
        for key, field in model.model_fields.items():
            wanted = setting_words.wanted(schemas[key])
            found.append(Setting(section, key, field.description or "", wanted, field.default))
    return found


def check(setting: Setting, value: object) -> object:
    """The value as the program has it.

    Raises:
        UserError: it is not valid: what is wanted, and what the setting means.
    """
    try:
        checked: object = getattr(_sections()[setting.section].model_validate({setting.key: value}), setting.key)
    except ValidationError as error:
        raise _refuse(setting, value, error) from None
    return checked


def _explain(error: ValidationError, places: Mapping[str, str]) -> UserError:
    first = error.errors(include_url=False)[0]
    name = ".".join(str(part) for part in first["loc"][:2])
    place = places.get(name, "settings")
    setting = next((setting for setting in described() if setting.name == name), None)
    if setting is None:  # a section that is not even a table
        return UserError(f"{place}: {name} is not valid.", "Check it.", ExitCode.USAGE)
    return _refuse(setting, first["input"], error, f"{place}: ")


def _refuse(setting: Setting, value: object, error: ValidationError, where: str = "") -> UserError:
    said = error.errors(include_url=False)[0].get("ctx", {}).get("error")
    # A validator of ours says what is needed; what pydantic says is not shown.
    return setting_words.refusal(setting, value, str(said) if isinstance(said, ValueError) else "", where)
