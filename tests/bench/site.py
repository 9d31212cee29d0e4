"""The lab of the benchmark: server and clients for the load, and its firewall host."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from tests.bench.accept import QUEUE
from tests.bench.columns import Load, Seen
from tests.bench.rules import PORTS, loaded_links, port_address
from tests.support.labs import PYTHON
from vm.holder import STATE
from vm.namespaces import CHECKOUT, Lab, LabError, kill
from vm.topology import FIREWALL, SERVER, Link
from vm.waiting import wait_until

BUILD = CHECKOUT / "build/bench"
_PROGRAM, _FLOOD = BUILD / "load", BUILD / "flood"
FLOODING = "10.200.0.0"  # a /16 behind the client, whose hosts do not exist
_FLOOD_S = 120  # at most
_BOARD = STATE / "board"
_CLIENTS = ("192.0.2.10", "192.0.2.11")
_LONGER_S = 15  # a client ends itself 10 s after its time
_READY_WITHIN_S = 10
_CONNECT_PORT = 5003  # load.c


def build() -> None:
    BUILD.mkdir(parents=True, exist_ok=True)
    for program in (_PROGRAM, _FLOOD):
        _build(program, Path(__file__).with_name(f"{program.name}.c"))


def _build(program: Path, source: Path) -> None:
    if program.exists() and program.stat().st_mtime > source.stat().st_mtime:
        return
    options = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread"]
    done = subprocess.run(
        ["gcc", *options, "-o", program, source], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise LabError(f"{source.name} cannot be built: {' '.join(done.stderr.split())[:500]}")


class Site:
    """Open while it is a context; whatever runs in it ends with it, and with this process."""

    def __init__(self) -> None:
        build()
        self.lab = Lab.start(lambda _: None)
        try:
            self._prepare()
        except BaseException:
            self.lab.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        kill(self._server)
        self.lab.stop()

    def _prepare(self) -> None:
        self._shell("client", "echo 1024 65535 >/proc/sys/net/ipv4/ip_local_port_range")
        # as the firewall has it, so that no row pays for a look at the way back
        paths = (f"/proc/sys/net/ipv4/conf/{name}/rp_filter" for name in ("all", "default"))
        self._shell(FIREWALL, *(f"echo 0 >{path}" for path in paths))
        self.clear()
        self._server = self._start("server", [str(_PROGRAM), "serve", SERVER, str(_BOARD)])

    def _start(self, host: str, argv: list[str]) -> subprocess.Popen[str]:
        """Starts a program that says `ready` when it is."""
        name = Path(argv[0]).name
        said = self.lab.path(STATE / f"{host}.said")
        with said.open("w") as out:
            process = self.lab.popen(host, argv, stdout=out.fileno())

        def is_over() -> bool:
            return process.poll() is not None or said.read_text() == "ready\n"

        try:
            wait_until(is_over, f"{name} says `ready`", seconds=_READY_WITHIN_S)
        except TimeoutError:
            kill(process)
            raise
        if process.poll() is not None:
            raise LabError(f"{name} does not run: {_last_line(said.read_text(errors='replace'))}")
        return process

    def _shell(self, host: str, *commands: str) -> None:
        done = self.lab.run(host, ["sh", "-ec", "\n".join(commands)])
        if done.returncode:
            raise LabError(f"{host}: {_last_line(done.stderr)}")

    # ---- the firewall host

    def clear(self) -> None:
        """Leaves no packet filter, no address and no forwarding, and makes the links anew.

        So no row pays for what another one did to a port.
        """
        self._shell(
            FIREWALL,
            "nft flush ruleset",
            "echo 0 >/proc/sys/net/ipv4/ip_forward",
            *(command for link in loaded_links() for command in _new_link(link)),
        )

    def forward(self, *commands: str) -> None:
        """Makes it a router by the kernel's own means, after further commands."""
        adds = (f"ip address add {port_address(link)} dev {link.port}" for link in loaded_links())
        self._shell(FIREWALL, *commands, *adds, "echo 1 >/proc/sys/net/ipv4/ip_forward")

    @contextmanager
    def accepting(self, how: str) -> Iterator[None]:
        """Every packet is queued where the firewall does it, to a program of accept.py."""
        rules = (
            f"iptables -t raw -A PREROUTING -i {port} -j NFQUEUE --queue-num {QUEUE}"
            for port in PORTS
        )
        self._shell(FIREWALL, *rules)
        process = self._start(FIREWALL, [PYTHON, "-m", "tests.bench.accept", how])
        try:
            yield
            if process.poll() is not None:
                raise LabError(f"accept.py {how} ended with status {process.returncode}")
        finally:
            kill(process)

    @contextmanager
    def flood(self) -> Iterator[None]:
        """SYN segments of hosts that do not exist, to the server's port of connections."""
        argv = [str(_FLOOD), FLOODING, SERVER, str(_CONNECT_PORT), str(_FLOOD_S)]
        process = self._start("client", argv)
        try:
            yield
            if process.poll() is not None:
                raise LabError("the flood has ended too early")
        finally:
            kill(process)

    # ---- the load

    def measure(self, load: Load, *, seconds: float) -> Seen:
        """Raises LabError where there is nothing to be seen."""
        times = (str(max(round(seconds * 250), 100)), str(round(seconds * 1000)))
        words = [
            word
            for item in load.words[1:]
            for word in (_CLIENTS if item == "{clients}" else [item])
        ]
        argv = [str(_PROGRAM), load.words[0], SERVER, str(_BOARD), *times, *words]
        try:
            done = self.lab.run("client", argv, timeout=seconds * 2 + _LONGER_S)
        except subprocess.TimeoutExpired as error:
            raise LabError(f"load {load.key} did not end within {error.timeout:g} s") from None
        if done.returncode:
            why = _last_line(done.stderr) if done.stderr.strip() else "nothing answers"
            raise LabError(f"load {load.key}: {why}")
        seen = msgspec.json.decode(done.stdout, type=Seen)
        if seen.failed > seen.connections * load.failed_at_most:
            raise LabError(f"load {load.key}: {seen.failed} connections failed")
        if load.figures and not (seen.bytes or seen.packets or seen.connections or seen.p50_us):
            raise LabError(f"load {load.key}: nothing arrived")
        return seen


def _new_link(link: Link) -> Iterator[str]:
    """Commands for the firewall host; IPv4 is enough here.

    Hosts know their gateway's link address: one that asks too early asks again a second later.
    """
    mac = f"02:00:00:00:00:0{link.port.removeprefix('eth')}"
    yield f"ip link delete {link.port}"
    yield f"ip link add {link.port} address {mac} type veth peer name eth0 netns {link.host}"
    yield f"ip link set {link.port} up"
    host = f"ip -n {link.host}"
    yield f"{host} link set eth0 up"
    more = [f"{_CLIENTS[1]}/25"] if link.host == "client" else []
    for address in (link.addresses[0], *more):
        yield f"{host} address add {address} dev eth0"
    yield f"{host} neighbor add {link.gateways[0]} lladdr {mac} nud permanent dev eth0"
    yield f"{host} route add default via {link.gateways[0]}"


def _last_line(text: str) -> str:
    return next(iter(reversed(text.strip().splitlines())), "no word of why")
