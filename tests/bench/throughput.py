"""Throughput and connection rate of the firewall beside the two things that bound it.

    accept all    the NetfilterQueue package on the same queue, accepting everything
    kernel        plain forwarding, no packet leaves the kernel
    firewall      sixtuple run with the lab's configuration

Each in a lab of its own, one after the other on the same machine; read the ratios, not the figures.

    python -m tests.bench.throughput
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple

from tests.support.labs import PYTHON, forward_plainly
from vm.firewall import Firewall
from vm.holder import STATE
from vm.namespaces import Lab, LabError, kill
from vm.topology import FIREWALL, LINKS, SERVER

SECONDS = 4
QUEUE = 6
_BIG_BYTES = 1 << 40  # a file of holes: more than can be sent in the time

_ACCEPT_ALL = f"""
from netfilterqueue import NetfilterQueue
queue = NetfilterQueue()
queue.bind({QUEUE}, lambda packet: packet.accept(), max_len=8192, sock_len=8 << 20)
print("bound", flush=True)
queue.run()
"""

_CONNECT = f"""
import socket, struct, time
reset = struct.pack("ii", 1, 0)  # a reset at once: no port has to wait for its next use
opened, end = 0, time.monotonic() + {SECONDS}
while time.monotonic() < end:
    with socket.create_connection(("{SERVER}", 80), timeout=2) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        opened += 1
print(opened / {SECONDS})
"""


class Figures(NamedTuple):
    mbit_per_s: float
    connections_per_s: float


@contextmanager
def kernel(lab: Lab) -> Iterator[None]:
    forward_plainly(lab)
    yield


@contextmanager
def accept_all(lab: Lab) -> Iterator[None]:
    forward_plainly(lab)
    for link in LINKS:
        rule = ["-A", "PREROUTING", "-i", link.port, "-j", "NFQUEUE", "--queue-num", str(QUEUE)]
        done = lab.run(FIREWALL, ["iptables", "-t", "raw", *rule])
        if done.returncode:
            raise LabError(done.stderr.strip())
    process = lab.popen(FIREWALL, [PYTHON, "-c", _ACCEPT_ALL])
    try:
        assert process.stdout
        said = process.stdout.readline().strip()
        if said != "bound":
            raise LabError(f"accept all does not run: {said}")
        yield
    finally:
        kill(process)


@contextmanager
def firewall(lab: Lab) -> Iterator[None]:
    running = Firewall(lab)
    running.start()
    yield
    running.kill()


def measure(lab: Lab) -> Figures:
    with lab.path(STATE / "web" / "big").open("wb") as big:
        big.truncate(_BIG_BYTES)
    curl = ["curl", "-s", "-o", "/dev/null", "--max-time", str(SECONDS)]
    download = lab.run("client", [*curl, "-w", "%{speed_download}", f"http://{SERVER}/big"])
    connect = lab.run("client", [PYTHON, "-c", _CONNECT], timeout=SECONDS + 30)
    if connect.returncode:
        raise LabError(f"no connections: {connect.stderr.strip().splitlines()[-1]}")
    return Figures(float(download.stdout) * 8 / 1e6, float(connect.stdout))


CONTENDERS: tuple[tuple[str, Callable[[Lab], AbstractContextManager[None]]], ...] = (
    ("accept all", accept_all),
    ("kernel", kernel),
    ("firewall", firewall),
)
_ROW = "{:<12}{:>12}{:>10}{:>16}{:>10}".format


def main() -> int:
    print(_ROW("", "Mbit/s", "ratio", "connections/s", "ratio"), flush=True)
    base: Figures | None = None
    for name, contender in CONTENDERS:
        try:
            with Lab.start(lambda _: None) as lab, contender(lab):
                figures = measure(lab)
        except LabError as error:
            print(f"bench: {name}: {error}", file=sys.stderr)
            return 2
        base = base or figures
        cells = [
            text
            for mine, other in zip(figures, base, strict=True)
            for text in (f"{mine:.0f}", f"{mine / other:.2f}")
        ]
        print(_ROW(name, *cells), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
