"""Who takes part, and what ``mlx.launch`` makes of what it is given."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import msgspec
import pytest
from mlx._distributed_utils import launch as mlx_launch

from hegelion_core.errors import ExitCode, UserError
from hegelion_core.settings import TrainingSettings, resolve
from hegelion_core.training.distributed.hosts import (
    Group,
    Host,
    HostFile,
    plan_group,
    read_host_file,
    refuse_mlx_launch,
)

OWN = {"localhost", "127.0.0.1", "mini", "10.0.0.1"}


def plan(given: HostFile | None = None, **values: object) -> Group:
    return plan_group(TrainingSettings.model_validate(values), given, OWN)


def launched(group: Group, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """Where, and with which variables, the real ``mlx.launch`` would start the processes."""
    seen: list[dict[str, object]] = []

    def note(_: object, calls: list[tuple[tuple[object, ...], object]], verbose: bool) -> None:
        for (rank, host, _, cwd, files, env, command), _ in calls:
            seen.append({"rank": rank, "host": host, "cwd": cwd, "files": files, "env": env, "command": command})

    hostfile = folder / "hosts.json"
    hostfile.write_bytes(msgspec.json.encode(group.hosts))
    arguments = group.arguments(str(hostfile), 20_000)
    monkeypatch.setattr(mlx_launch, "_launch_with_io", note)
    monkeypatch.setattr(sys, "argv", ["mlx.launch", *arguments, "--", "python", "-u", "-m", "there", "job"])
    mlx_launch.main()  # type: ignore[no-untyped-call]
    return seen


def test_processes_on_this_machine_talk_over_loopback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = plan(processes=3)
    assert (group.size, group.each, group.remote, group.backend) == (3, 3, False, "ring")
    calls = launched(group, tmp_path, monkeypatch)
    assert [call["host"] for call in calls] == ["127.0.0.1"] * 3
    assert calls[0]["command"] == ["python", "-u", "-m", "there", "job"]
    files = calls[2]["files"]
    assert isinstance(files, dict)
    assert json.loads(files["MLX_HOSTFILE"]) == [["127.0.0.1:20000"], ["127.0.0.1:20001"], ["127.0.0.1:20002"]]


def test_machines_by_their_addresses_this_one_without_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = plan(hosts="10.0.0.1, me@10.0.0.2", processes=2)
    assert (group.size, group.each, group.remote) == (4, 2, True)
    calls = launched(group, tmp_path, monkeypatch)
    assert [call["host"] for call in calls] == ["127.0.0.1"] * 2 + ["me@10.0.0.2"] * 2
    files = calls[0]["files"]
    assert isinstance(files, dict)
    assert [ips[0].split(":")[0] for ips in json.loads(files["MLX_HOSTFILE"])] == ["10.0.0.1"] * 2 + ["10.0.0.2"] * 2
    assert "--starting-port" not in group.arguments("f", 20_000)
    assert "5000" in plan(hosts="10.0.0.1,10.0.0.2", port=5000).arguments("f", 20_000)


def test_nccl_gives_each_process_of_a_machine_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = plan_group(TrainingSettings(processes=2), None, OWN, cuda=True)
    assert group.backend == "nccl"
    calls = launched(group, tmp_path, monkeypatch)
    for rank, call in enumerate(calls):
        assert isinstance(call["env"], list)
        assert {"NCCL_HOST_IP=127.0.0.1", "NCCL_PORT=20000", "MLX_WORLD_SIZE=2", f"CUDA_VISIBLE_DEVICES={rank}"} <= set(
            call["env"]
        )


@pytest.mark.parametrize("backend", ["jaccl", "jaccl-ring"])
def test_jaccl_takes_its_devices_from_a_host_file(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = {
        "backend": backend,
        "envs": ["MLX_METAL_FAST_SYNCH=1"],
        "hosts": [
            {"ssh": "mini", "ips": ["10.0.0.1"], "rdma": [None, "rdma_en2"]},
            {"ssh": "other", "ips": [], "rdma": ["rdma_en2", None]},
        ],
    }
    group = plan(read_host_file(json.dumps(content).encode(), "hosts.json"))
    assert (group.backend, group.size, group.each) == (backend, 2, 1)
    calls = launched(group, tmp_path, monkeypatch)
    assert [call["host"] for call in calls] == ["127.0.0.1", "other"]
    env, files = calls[1]["env"], calls[1]["files"]
    assert isinstance(env, list)
    assert isinstance(files, dict)
    assert "MLX_METAL_FAST_SYNCH=1" in env
    assert any(re.match(r"MLX_JACCL_COORDINATOR=10\.0\.0\.1:", value) for value in env)
    assert ("MLX_JACCL_RING=1" in env) == (backend == "jaccl-ring")
    assert json.loads(files["MLX_IBV_DEVICES"]) == [[None, "rdma_en2"], ["rdma_en2", None]]


def test_mpi_takes_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, seen = tmp_path / "bin" / "mpirun", tmp_path / "seen"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {seen}\ncat "$4" >> {seen}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    group = plan(hosts="mini,other", processes=2, backend="mpi")
    launched(group, tmp_path, monkeypatch)
    lines = seen.read_text().splitlines()
    assert lines[lines.index("--") + 1 :] == [
        *("python", "-u", "-m", "there", "job", "127.0.0.1 slots=2", "other slots=2")
    ]


def test_a_list_of_hosts_is_a_host_file_too() -> None:
    found = read_host_file(b'[{"ssh": "127.0.0.1", "ips": ["127.0.0.1"]}]', "f")
    assert found.hosts == [Host("127.0.0.1", ["127.0.0.1"])]
    assert plan(found).size == 1


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"no", b'{"hosts": [{}]}', b'[{"ssh": "-oProxyCommand=x"}]', b"\xff"]
)
def test_what_is_no_host_file_is_named(content: bytes) -> None:
    with pytest.raises(UserError, match=r"hosts\.json: is no host file") as refused:
        read_host_file(content, "hosts.json")
    assert refused.value.exit_code == ExitCode.USAGE


OTHER = HostFile(hosts=[Host("other", ["10.0.0.2"])])


@pytest.mark.parametrize(
    ("given", "values", "message"),
    [
        (None, {"hosts": "10.0.0.2,10.0.0.1"}, "10.0.0.2, the first host, is not this machine"),
        (None, {"hosts": "mini,10.0.0.2"}, "ring needs the address of 127.0.0.1"),
        (None, {"hosts": "127.0.0.1,10.0.0.2"}, "cannot reach 127.0.0.1"),
        (None, {"processes": 2, "backend": "jaccl"}, "jaccl needs the RDMA devices"),
        (OTHER, {}, "other, the first host, is not this machine"),
        (OTHER, {"processes": 2}, "--hostfile says by itself who takes part"),
        (HostFile(hosts=[Host("mini", ["10.0.0.1"])], backend="smoke"), {}, "smoke, is not known"),
    ],
)
def test_what_cannot_be_is_refused(given: HostFile | None, values: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)) as refused:
        plan(given, **values)
    assert refused.value.exit_code == ExitCode.USAGE
    assert refused.value.hint


@pytest.mark.parametrize("hosts", ["-oProxyCommand=x", "a,,b", "a b"])
def test_what_is_no_host_is_refused(hosts: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"training\.hosts"):
        resolve(tmp_path, {"training.hosts": hosts}, environment={})


def test_a_command_that_mlx_launch_started_is_refused() -> None:
    refuse_mlx_launch({"PATH": "/bin"})
    for variable in ("MLX_RANK", "OMPI_COMM_WORLD_RANK"):
        with pytest.raises(UserError, match=r"mlx\.launch"):
            refuse_mlx_launch({variable: "0"})
