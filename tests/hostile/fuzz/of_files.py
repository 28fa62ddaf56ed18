"""Targets whose input is a file, or a line of the core's socket. Files lie in a folder that whoever asks gives."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import msgspec

from hegelion_core import snapshot
from hegelion_core.client import Client
from hegelion_core.commands import status_words
from hegelion_core.commands.text import printable, printable_json
from hegelion_core.commands.words import describe
from hegelion_core.core import Core
from hegelion_core.curves import of_state
from hegelion_core.errors import UserError
from hegelion_core.event_log import EventReader
from hegelion_core.events import STAGES, AnyEvent, encode
from hegelion_core.fold import fold
from hegelion_core.generation import verdicts
from hegelion_core.generation.decisions import Decision, Decisions, decisions_path
from hegelion_core.generation.store import SampleStore
from hegelion_core.glance import Glance
from hegelion_core.pressure import Pressure
from hegelion_core.report.collect import tell
from hegelion_core.report.model import Report
from hegelion_core.report.page import page
from hegelion_core.run_state import RunState
from hegelion_core.service import Service
from hegelion_core.setting_sources import parse
from hegelion_core.settings import resolve
from hegelion_core.settings_file import Sources, put, remove
from hegelion_core.training.export.source import check_fits, read_adapter, read_base
from hegelion_core.unreadable import UNREADABLE
from hegelion_core.wire import Pointer, Reply, Request
from hegelion_core.workspace import RunFolder, Workspace
from hegelion_tui import wording
from tests.hostile.evil_events import everything
from tests.hostile.fuzz.target import SPLIT, Target, parts, steers
from tests.hostile.readers import READERS, read_or_refuse
from tests.hostile.texts import LINES, STEERING
from tests.unit.generation.test_store import sample

NOW = 1.8e9


class FileTargets:
    """What is fed by way of a folder."""

    def __init__(self, folder: Path) -> None:
        """``folder`` is this object's own."""
        self.folder = folder
        self.place = Workspace(folder / "place")
        self.place.root.mkdir(exist_ok=True)
        self.readers = list(READERS.values())
        self.samples = folder / "s.jsonl"
        self.lines = [msgspec.json.encode(sample(query)) + b"\n" for query in ("Is it so?", "Is it not so?")]

    def events(self, data: bytes) -> None:
        """An event log: read whole or as it grows, folded, kept, and told in words."""
        path = self.folder / "events.jsonl"
        path.write_bytes(data)
        reader = EventReader(path)
        found = reader.read()
        assert (found, reader.damaged) == self._grown(path, data)
        for event in found:
            written = encode(event)
            assert written.count(b"\n") == 1
            assert msgspec.json.decode(written, type=type(event)) == event
        state = fold(found)
        _tell(found, state, self.place)
        snapshot.save(path, state, reader.offset, reader.damaged)
        assert snapshot.load(path) == ((state, reader.offset, reader.damaged) if reader.offset else (RunState(), 0, 0))

    def _grown(self, path: Path, data: bytes) -> tuple[list[AnyEvent], int]:
        reader = EventReader(path)
        found: list[AnyEvent] = []
        for end in sorted({zlib.crc32(data[:n]) % (len(data) + 1) for n in (1, 9)} | {len(data)}):
            path.write_bytes(data[:end])
            found += reader.read()
        return found, reader.damaged

    def socket(self, data: bytes) -> None:
        """What a face said to the core, and what something else than a core said to a face."""
        asked, answered = parts(data, 2)
        reply = asyncio.run(Service(cast(Core, _Deaf()))._answer(asked))
        written = msgspec.json.encode(reply)
        assert b"\n" not in written
        assert msgspec.json.decode(written, type=Reply) == reply
        with contextlib.suppress(UserError):
            asyncio.run(self._face(answered))
        with contextlib.suppress(*UNREADABLE):
            request = msgspec.json.decode(asked, type=Request)
            assert set(request.stages) <= set(STAGES)

    async def _face(self, answered: bytes) -> None:
        reader = asyncio.StreamReader()
        reader.feed_data(answered)
        reader.feed_eof()
        pointer = Pointer(1, "", str(self.folder / "nothing"))
        await Client(self.place, pointer, reader, cast(asyncio.StreamWriter, _Nowhere())).stop()

    def decisions(self, data: bytes) -> None:
        """Decisions by hand, and the cache of verdicts, beside a sample file."""
        decided, cached = parts(data, 2)
        cache = verdicts.cache_path(self.samples)
        self.samples.write_bytes(b"".join(self.lines))
        decisions_path(self.samples).write_bytes(decided)
        cache.write_bytes(cached)
        found = Decisions.beside(self.samples)
        known, following = verdicts.load(cache), verdicts.Following(cache)
        for name in [verdicts.digest(line) for line in self.lines] + list(known):
            following.get(name)
        store = SampleStore(self.samples)
        assert len(store) == 2
        assert store.accepted <= 2
        for index in range(2):
            store.state(index)
            assert found.of(store.row(index)) == store.decisions.of(store.row(index))
            for decision in found.history(store.row(index)):
                assert msgspec.json.decode(msgspec.json.encode(decision), type=Decision) == decision
        self._decided_in_pieces(decided, found, store.row(0))

    def _decided_in_pieces(self, decided: bytes, whole: Decisions, row: bytes) -> None:
        path = decisions_path(self.samples)
        path.unlink()
        grown = Decisions(self.samples)
        with path.open("ab", buffering=0) as file:
            half = zlib.crc32(decided) % (len(decided) + 1)
            for piece in (decided[:half], decided[half:]):
                file.write(piece)
                grown.refresh()
        assert (grown.history(row), grown.foreign) == (whole.history(row), whole.foreign)

    def weights(self, data: bytes) -> None:
        """A model and an adapter: what their configs and the headers of their safetensors say."""
        config, weights = parts(data, 2) if SPLIT in data else (_CONFIG, data)
        for name in ("config.json", "adapter_config.json"):
            (self.folder / name).write_bytes(config)
        for name in ("model.safetensors", "adapters.safetensors"):
            (self.folder / name).write_bytes(weights)
        _refused(lambda: check_fits(read_adapter(self.folder), read_base(self.folder)))
        _refused(lambda: read_base(self.folder))

    def settings(self, data: bytes) -> None:
        """A settings file: read, and changed."""
        text = data.decode("utf-8", "replace")
        (self.place.root / "hegelion.toml").write_bytes(data)
        sources = Sources(self.place.root, {}, environment={})
        _refused(lambda: resolve(self.place.root, {}, environment={}, text=text))
        _refused(sources.standings)
        for section, key, value in (
            ("training", "lr", 2e-5),
            ("generation", "output", "ä\"'\\"),
            ("keys", "stop", "s"),
        ):
            _refused(lambda s=section, k=key, v=value: _changed(text, s, k, v))  # type: ignore[misc]

    def files(self, data: bytes) -> None:
        """Any other file: its first byte chooses which."""
        reader = self.readers[data[0] % len(self.readers)] if data else self.readers[0]
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            read_or_refuse(reader, data[1:], Path(folder))


_CONFIG = b'{"fine_tune_type":"lora","lora_parameters":{"rank":4,"scale":2.0},"model":"bundled","num_hidden_layers":2}'


_CHANGES: tuple[tuple[str, str, float | str], ...] = (
    ("training", "lr", 2e-5),
    ("generation", "output", "ä\"'\\"),
    ("keys", "stop", "s"),
)


class _Deaf:
    """A core that is asked for everything and does nothing."""

    place = Workspace(Path())
    start = stop = stop_instance = scale = scale_by = recount = compare = stop_comparing = lambda self, *_: (
        asyncio.sleep(0)
    )


class _Nowhere:
    """Where a face writes to."""

    def write(self, _: bytes) -> None: ...

    async def drain(self) -> None: ...


def _refused(work: Callable[[], object]) -> None:
    """Does something that may be refused, in one line."""
    message = ""
    try:
        work()
    except UserError as error:
        message = error.message
    assert "\n" not in message
    assert len(message) < 2000


def _changed(text: str, section: str, key: str, value: float | str) -> None:
    """Put a value in and take it out."""
    before = parse(text)
    new = put(text, section, key, value)
    table = parse(new)[section]
    assert isinstance(table, dict)
    assert table[key] == value
    assert {name: what for name, what in parse(new).items() if name != section} == {
        name: what for name, what in before.items() if name != section
    }
    left = parse(remove(new, section, key)).get(section, {})
    assert isinstance(left, dict)
    assert key not in left


def _tell(found: Sequence[AnyEvent], state: RunState, place: Workspace) -> None:
    """All that shows a run, whatever its log says."""
    for event in found:
        printable(describe(event, state))
    for core in (0, 1):
        glance = _glance(state, place, core)
        assert not any(steers(printable(line)) for line in status_words.lines(glance))
        assert not steers(printable_json(msgspec.json.encode(status_words.plain(glance))))
    for made in (
        wording.header(state, "x", 80),
        wording.stages(state, NOW, 80, lines=9),
        wording.sample_progress(state, NOW, 80),
        wording.training_progress(state, NOW, 80),
        wording.notices(state.notices, 5, 80),
        (wording.banner(state, NOW, _no_key, gone=False) or ("", None))[1],
        *(wording.instance(number, each, NOW) for number, each in state.instances.items()),
    ):
        assert made is None or made.plain is not None
    told = page(
        Report(
            history=tell(found),
            written_at=NOW,
            at_work=False,
            root=place.root,
            curves=of_state(state),
            examples=(),
            evaluation=None,
            settings=(),
            environment=(),
        )
    )
    assert "<script" not in told


def _no_key(_: str) -> str:
    return "?"


def _glance(state: RunState, place: Workspace, core: int) -> Glance:
    return Glance(
        place=place,
        run=RunFolder(place.runs / "x"),
        state=state,
        damaged=0,
        now=NOW,
        core=core,
        core_memory=1 << 20,
        children=(),
        instances={},
        left=(),
        logs=(),
        adapter=place.artifacts / "adapter",
        adapter_files=(),
        machine=Pressure("normal", 1 << 30, 1 << 31, None, 0.0, 1 << 40),
        load=0.5,
    )


def file_targets(folder: Path) -> dict[str, Target]:
    """By name; ``folder`` is theirs."""
    made = FileTargets(folder)
    rubbish = tuple(LINES.values())
    lines = [encode(event) for event in everything("x")]
    requests = [
        msgspec.json.encode(Request(1, "start", ("check", "train"))),
        msgspec.json.encode(Request(2, "compare", (), 3, "Is it so?", 0.7)),
        b'{"id":1,"command":"scale_by","instances":-1}',
    ]
    replies = [b'{"id":1}\n', b'{"id":1,"error":"No.","hint":"Yes.","exit_code":75}\n']
    row = verdicts.digest(msgspec.json.encode(sample("Is it so?"))).hex()
    decided = [
        msgspec.json.encode({"at": 1.0, "action": action, "row": row, "text": text, "attempt": "ab"}) + b"\n"
        for action, text in (
            ("accept", None),
            ("edit", dict.fromkeys(("thesis", "antithesis", "synthesis", "answer"), "It is.")),
            ("undo", None),
            ("reject", None),
        )
    ]
    cache = verdicts._head() + b"\n" + row.encode() + b"0123456789abcdefo\n" + row[::-1].encode() + b"-" * 16 + b"h\n"
    settings = (
        b"[training]\nlr = 2e-5 # so\niters = 100\nscu_law = 'published'\n\n[keys]\nstop = 's'\n",
        b'[generation]\noutput = "x.jsonl"\nprompt_file = "p.txt"\n\r\n[x.y]\nz = [1, {a = 1}]\n',
        b"training.lr = 1\n[[generation]]\na = 1979-05-27T07:32:00Z\n",
    )
    return {
        "events": Target(made.events, (b"".join(lines), *lines, b'{"event":"Newer","at":1}\n', *rubbish)),
        "socket": Target(made.socket, (*(a + SPLIT + b for a in requests for b in replies), *rubbish)),
        "decisions": Target(made.decisions, (b"".join(decided) + SPLIT + cache, *decided, SPLIT + cache, *rubbish)),
        "weights": Target(made.weights, _weights()),
        "settings": Target(made.settings, (*settings, b"x = '" + STEERING.encode() + b"'\n", *rubbish)),
        "files": Target(made.files, tuple(bytes([index]) + line for index in range(len(READERS)) for line in _FILES)),
    }


_FILES = (
    b'{"text":"a","id":"b","prompt":"Is it so?","step":1,"loss":0.5,"at":1.0}\n',
    b'{"training":{"lr":1e-5},"generation":{"output":"x"}}',
)


def _weights() -> tuple[bytes, ...]:
    from tests.hostile.test_models import LIES, safetensors

    names = [f"model.layers.{layer}.self_attn.q_proj.{leaf}" for layer in range(2) for leaf in ("lora_a", "lora_b")]
    header = {
        name: {"dtype": "F32", "shape": [2, 2], "data_offsets": [16 * at, 16 * at + 16]}
        for at, name in enumerate(names)
    }
    header["__metadata__"] = {"format": "mlx"}
    good = safetensors(header, bytes(64))
    base = safetensors({"model.a.weight": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}}, bytes(8))
    short = (lie for lie in LIES.values() if len(lie) < 2000)
    return good, base, b'{"fine_tune_type":"dora"}' + SPLIT + good, b"[1]" + SPLIT + good, *short
