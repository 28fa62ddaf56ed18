"""Models and adapters that someone else made: no pickle is read, no code is run, no lie about weights is believed."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import struct
import tarfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hegelion_core.errors import UserError
from hegelion_core.generation.data_sets import open_data_set
from hegelion_core.generation.prompt_files import SourcePrompt
from hegelion_core.models import blas, loading
from hegelion_core.training.export.source import read_adapter, read_base
from tests.fakes.tiny_model import make_tiny_model
from tests.hostile.texts import LINES, SHELL, STEERING, TURNS


class Touch:
    """Unpickled, it makes a file: whoever reads it has run what it was given."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.path,)


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    blas.prepare_mlx()
    return make_tiny_model(tmp_path_factory.mktemp("models") / "student")


@pytest.fixture
def tiny(student: Path, tmp_path: Path) -> Path:
    """A model folder of this test's own."""
    return shutil.copytree(student, tmp_path / "student")


def safetensors(header: object, data: bytes = b"", *, length: int | None = None) -> bytes:
    """A file of that header, which may say of its own length what it likes."""
    written = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(written) if length is None else length) + written + data


def _tensor(begin: int, end: int, shape: list[int], dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


LIES: dict[str, bytes] = {
    "nothing": b"",
    "half a length": b"\x10\0\0",
    "a header of exabytes": safetensors({}, length=1 << 62),
    "a header of all there can be": safetensors({}, length=(1 << 64) - 1),
    "a header longer than the file": safetensors({}, length=1000),
    "a header that is cut": safetensors(b'{"a":'),
    "a header without end": safetensors(b'{"a":' * 20_000 + b"1" + b"}" * 20_000),
    "a huge header": safetensors({f"t{number}": _tensor(0, 0, [0]) for number in range(20_000)}),
    "no object": safetensors([1, 2]),
    "weights beyond the file": safetensors({"a": _tensor(0, 1 << 40, [1 << 38])}, b"1234"),
    "weights before the file": safetensors({"a": _tensor(-8, 4, [3])}, b"1234"),
    "an end before its begin": safetensors({"a": _tensor(4, 0, [1])}, b"1234"),
    "a shape that overflows": safetensors({"a": _tensor(0, 4, [1 << 62, 1 << 62, 4])}, b"1234"),
    "a negative shape": safetensors({"a": _tensor(0, 4, [-1])}, b"1234"),
    "a shape of other size": safetensors({"a": _tensor(0, 4, [1000, 1000])}, b"1234"),
    "weights that overlap": safetensors({"a": _tensor(0, 4, [1]), "b": _tensor(2, 6, [1])}, b"123456"),
    "no such type": safetensors({"a": _tensor(0, 4, [1], "PICKLE")}, b"1234"),
    "names that lead elsewhere": safetensors({"../../x": _tensor(0, 4, [1]), "\0": _tensor(4, 8, [1])}, b"12345678"),
    "a pickle": pickle.dumps({"a": 1}),
    **LINES,
}
CONFIG = {
    "fine_tune_type": "lora",
    "num_layers": 2,
    "lora_parameters": {"rank": 4, "scale": 2.0, "dropout": 0.0, "keys": ["self_attn.q_proj"]},
    "model": "bundled",
}


@pytest.mark.parametrize("lie", LIES)
def test_an_adapter_that_lies_is_refused(lie: str, student: Path, tmp_path: Path) -> None:
    adapter = _adapter(tmp_path / "adapter", LIES[lie])
    refusals = 0
    for read in (lambda: loading.check_adapter(student, adapter), lambda: read_adapter(adapter)):
        with pytest.raises(UserError) as refused:
            read()
        refusals += 1
        assert "\n" not in refused.value.message
    assert refusals == 2


@pytest.mark.parametrize(("begin", "share"), [(0, 0.5), (1 << 40, 1.0), (-4096, 1.0), (0, 0.0)])
def test_an_adapter_of_the_right_names_that_lies_is_refused(
    begin: int, share: float, student: Path, tmp_path: Path
) -> None:
    header, end = {}, 0
    for layer in range(2):
        for leaf, shape in {"lora_a": [64, 4], "lora_b": [4, 64]}.items():
            name = f"model.layers.{layer}.self_attn.q_proj.{leaf}"
            header[name] = _tensor(begin + end, begin + end + 1024, shape)
            end += 1024
    adapter = _adapter(tmp_path / "adapter", safetensors(header, bytes(int(end * share))))
    for read in (lambda: loading.check_adapter(student, adapter), lambda: read_adapter(adapter)):
        with pytest.raises(UserError):
            read()


@pytest.mark.parametrize("lie", LIES)
def test_a_model_that_lies_is_refused(lie: str, tiny: Path) -> None:
    (tiny / "model.safetensors").write_bytes(LIES[lie])
    with pytest.raises(UserError, match="can't be loaded"):
        loading.load(tiny)


def test_weights_that_are_cut_or_changed_are_refused_or_read(tiny: Path) -> None:
    path = tiny / "model.safetensors"
    whole = path.read_bytes()
    header = struct.unpack("<Q", whole[:8])[0]

    @given(st.integers(0, header + 8), st.binary(min_size=1, max_size=8), st.integers(0, len(whole)))
    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
    def load(where: int, what: bytes, size: int) -> None:
        changed = whole[:where] + what + whole[where + len(what) :]
        path.write_bytes(changed[:size] if size < len(whole) else changed)
        assert "\n" not in _refusal(lambda: loading.load(tiny))

    load()


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_a_model_of_hostile_files_is_refused_or_loads(name: str, tiny: Path) -> None:
    for content in LINES.values():
        (tiny / name).write_bytes(content)
        assert len(_refusal(lambda: loading.load(tiny))) < 2000


@pytest.mark.parametrize("content", LINES.values(), ids=LINES)
def test_an_adapter_of_hostile_settings_is_refused(content: bytes, student: Path, tmp_path: Path) -> None:
    adapter = _adapter(tmp_path / "adapter", safetensors({}))
    (adapter / "adapter_config.json").write_bytes(content)
    for read in (lambda: loading.check_adapter(student, adapter), lambda: read_adapter(adapter)):
        with pytest.raises(UserError):
            read()


def _adapter(folder: Path, weights: bytes) -> Path:
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps(CONFIG))
    (folder / "adapters.safetensors").write_bytes(weights)
    return folder


def test_no_pickle_of_a_model_is_read_and_no_code_of_it_is_run(tiny: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    for name in ("pytorch_model.bin", "model.pt", "training_args.bin", "tokenizer.pkl", "optimizer.pt", "weights.npz"):
        (tiny / name).write_bytes(pickle.dumps(Touch(ran)))
    code = f"import pathlib; pathlib.Path({str(ran)!r}).touch()\n"
    for name in ("modeling_x.py", "tokenization_x.py", "configuration_x.py", "__init__.py", "setup.py", "conftest.py"):
        (tiny / name).write_text(code)
    loading.load(tiny)
    assert not ran.exists()

    _change(tiny / "config.json", auto_map={"AutoModelForCausalLM": "modeling_x.X", "AutoConfig": "configuration_x.X"})
    _change(tiny / "tokenizer_config.json", auto_map={"AutoTokenizer": ["tokenization_x.X", None]})
    assert _refusal(lambda: loading.load(tiny)).count("can't be loaded") <= 1
    _change(tiny / "config.json", model_file="modeling_x.py")
    with pytest.raises(UserError, match="can't be loaded"):
        loading.load(tiny)
    for kind in ("..llama", "../../x", "os", "modeling_x", "/etc/passwd"):
        _change(tiny / "config.json", model_type=kind, model_file=None)
        with pytest.raises(UserError, match="can't be loaded"):
            loading.load(tiny)
    assert not ran.exists()


def _change(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def _refusal(read: Callable[[], object]) -> str:
    """What is said against it; empty if nothing."""
    try:
        read()
    except UserError as refused:
        return refused.message
    return ""


def test_no_pickle_of_a_data_set_is_read_and_no_code_of_it_is_run(tmp_path: Path) -> None:
    ran, folder = tmp_path / "ran", tmp_path / "data"
    folder.mkdir()
    (folder / "data.pkl").write_bytes(pickle.dumps(Touch(ran)))
    (folder / "data.py").write_text(f"import pathlib; pathlib.Path({str(ran)!r}).touch()\n")
    inside = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.save(inside, np.array([Touch(ran)], dtype=object), allow_pickle=True)
    with tarfile.open(folder / "x.tar", "w") as tar:
        for name, content in {"a.npy": inside.getvalue(), "a.pyd": pickle.dumps(Touch(ran)), "../b.txt": b"x"}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    for path in (folder, folder / "data.pkl", folder / "x.tar"):
        with pytest.raises(UserError):
            open_data_set(str(path), "train", None, tmp_path)
    assert not ran.exists()
    assert not (tmp_path / "b.txt").exists()


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_data_set_of_hostile_bytes_is_read_or_refused(kind: str, tmp_path: Path) -> None:
    lines = list(LINES.values())
    for number, content in enumerate((*lines, b"prompt\n" + b"\n".join(lines), b"PAR1" * 9)):
        path = tmp_path / f"{number}.{kind}"
        path.write_bytes(content + b"\n")
        assert "\n" not in _refusal(partial(_prompts, path))


def _prompts(path: Path) -> list[SourcePrompt]:
    return list(open_data_set(path.name, "train", None, path.parent).prompts())


def test_columns_of_hostile_names_and_values_are_read_or_refused(tmp_path: Path) -> None:
    for name in ("../../x", STEERING, "", "prompt\0", "__class__", "x" * 10_000):
        path = tmp_path / "x.parquet"
        pq.write_table(pa.table({name: [SHELL], "n": [{"prompt": TURNS}]}), path)
        assert _refusal(lambda: open_data_set("x.parquet", "train", None, tmp_path))
    path.with_suffix(".jsonl").write_bytes(msgspec.json.encode({"prompt": SHELL + STEERING + TURNS}) + b"\n")
    [found] = open_data_set("x.jsonl", "train", None, tmp_path).prompts()
    assert found.text == SHELL + STEERING + TURNS


def test_a_base_whose_config_is_no_object_is_refused(tiny: Path) -> None:
    (tiny / "config.json").write_bytes(b"[1]")
    with pytest.raises(UserError, match=r"config\.json is no object"):
        read_base(tiny)
