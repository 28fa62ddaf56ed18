"""Who takes part: settings to a host file and the arguments of ``mlx.launch``. Pure; it runs in the core, without mlx.

The first process runs on this machine, since it reports to the core and writes all files.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, cast, get_args

import msgspec

from hegelion_core.errors import ExitCode, UserError
from hegelion_core.settings import TrainingSettings
from hegelion_core.unreadable import UNREADABLE

HERE = "127.0.0.1"
"""What ``mlx.launch`` starts without ssh."""

Backend = Literal["ring", "mpi", "jaccl", "jaccl-ring", "nccl"]


class Host(msgspec.Struct, frozen=True, omit_defaults=True):
    """A process's place, as in the host files of ``mlx.launch``."""

    ssh: Annotated[str, msgspec.Meta(pattern=r"^[^-\s][^\s]*$")]
    ips: list[str] = []
    rdma: list[str | list[str] | None] = []


class HostFile(msgspec.Struct, frozen=True, omit_defaults=True):
    """A host file of ``mlx.launch``; it may also be the list of hosts alone."""

    hosts: Annotated[list[Host], msgspec.Meta(min_length=1)]
    backend: str = ""
    envs: list[str] = []


@dataclass(frozen=True)
class Group:
    """The processes of a training before they are started."""

    hosts: HostFile
    backend: Backend
    each: int
    """Processes on one machine, at most."""
    remote: bool
    """Whether some run on other machines."""
    port: int | None
    """The first that is used; none: MLX's own choice."""

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self.hosts.hosts)

    def arguments(self, hostfile: str, free_port: int) -> list[str]:
        """Of ``mlx.launch``, but for the command. ``free_port`` is one that is free here, as are those behind it."""
        port = self.port or (None if self.remote else free_port)
        ports = [] if port is None else [*("--starting-port", str(port)), *("--nccl-port", str(port))]
        return ["--hostfile", hostfile, "--backend", self.backend, "--repeat-hosts", str(self.each), *ports]


def read_host_file(content: bytes, name: str) -> HostFile:
    """The host file's content.

    Raises:
        UserError: it is none.
    """
    try:
        if content.lstrip()[:1] == b"[":
            return msgspec.convert({"hosts": msgspec.json.decode(content)}, HostFile)
        return msgspec.json.decode(content, type=HostFile)
    except UNREADABLE as error:
        raise UserError(
            f"{name}: is no host file ({error}).",
            'It is mlx.launch\'s: {"hosts": [{"ssh": "127.0.0.1", "ips": ["192.168.1.2"]}, ...]}; '
            "mlx.distributed_config writes one.",
            ExitCode.USAGE,
        ) from None


def plan_group(
    settings: TrainingSettings, given: HostFile | None, own: Collection[str], *, cuda: bool = False
) -> Group:
    """The group that the settings ask for.

    Args:
        settings: of the training.
        given: the user's host file.
        own: names and addresses of this machine.
        cuda: MLX computes on CUDA.

    Raises:
        UserError: they do not fit together.
    """
    entries = _entries(settings, given)
    hosts = [Host(HERE if _is_own(host, own) else host.ssh, host.ips, host.rdma) for host in entries]
    backend = settings.backend or _known((given.backend if given else "") or ("nccl" if cuda else "ring"))
    if hosts[0].ssh != HERE:
        raise _refusal(
            f"{entries[0].ssh}, the first host, is not this machine.",
            "Put an address of this machine first: its process writes the files.",
        )
    remote = any(host.ssh != HERE for host in hosts)
    _check_addresses(hosts, backend, remote=remote)
    if backend.startswith("jaccl") and not all(len(host.rdma) == len(hosts) for host in hosts):
        raise _refusal(
            f"{backend} needs the RDMA devices between the hosts.",
            "Let mlx.distributed_config write a host file, and give that with --hostfile.",
        )
    return Group(
        hosts=HostFile(hosts=hosts, backend=backend, envs=given.envs if given else []),
        backend=backend,
        each=max(Counter(host.ssh for host in hosts).values()),
        remote=remote,
        port=settings.port,
    )


def refuse_mlx_launch(environ: Mapping[str, str]) -> None:
    """A command that ``mlx.launch`` started several times over would be several trainings in one workspace.

    Raises:
        UserError: this is one.
    """
    if "MLX_RANK" in environ or "OMPI_COMM_WORLD_RANK" in environ:
        raise UserError(
            "Training: it was started by mlx.launch, which the trainer calls by itself.",
            "Give the same command without mlx.launch, and with --processes N, --hosts A,B or --hostfile FILE.",
            ExitCode.USAGE,
        )


def _entries(settings: TrainingSettings, given: HostFile | None) -> list[Host]:
    if given is None:
        return [Host(name, _addresses(name)) for name in settings.hosts or (HERE,) for _ in range(settings.processes)]
    if settings.hosts or settings.processes > 1:
        raise _refusal(
            "--hostfile says by itself who takes part.",
            "Leave --hosts and --processes out; a machine that is listed twice runs two processes.",
        )
    return given.hosts


def _check_addresses(hosts: list[Host], backend: str, *, remote: bool) -> None:
    if backend == "mpi":
        return
    for host in hosts if backend == "ring" else hosts[:1]:
        if not host.ips:
            raise _refusal(f"{backend} needs the address of {host.ssh}, not its name.", "Give it with --hosts.")
        if remote and any(ipaddress.ip_address(ip).is_loopback for ip in host.ips):
            raise _refusal(
                f"the others cannot reach {host.ips[0]}.", "Give this machine's address in the network they share."
            )


def _addresses(name: str) -> list[str]:
    try:
        return [str(ipaddress.ip_address(name.rpartition("@")[2]))]
    except ValueError:
        return [HERE] if name == "localhost" else []


def _is_own(host: Host, own: Collection[str]) -> bool:
    return host.ssh in own or any(ip in own for ip in host.ips)


def _known(backend: str) -> Backend:
    if backend in get_args(Backend):
        return cast(Backend, backend)
    raise _refusal(f"the host file's backend, {backend}, is not known.", "Give --backend.")


def _refusal(what: str, hint: str) -> UserError:
    return UserError(f"Training on several machines: {what}", hint, ExitCode.USAGE)
