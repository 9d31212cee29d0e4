"""The network of a site, and the dataplane in it; runs as process 1 of namespaces of its own.

    python -m tests.parity.inside EDGE DIRECTORY FD

         far namespace, without any address      |      firewall
    ------------------------------------------------------------------
    far1 (a raw socket on it) ---------------- eth1 trust    192.0.2.1
    far2                      ---------------- eth2 untrust  198.51.100.1
    far3                      ---------------- eth3 dmz      203.0.113.1

The raw sockets go to whoever has the other end of the socket FD: with them packets are sent and
seen from outside. Nothing in the far namespace ever says anything by itself. All of it ends with
the standard input.
"""

import json
import socket
import subprocess
import sys
from pathlib import Path

from control.system.kernel import Kernel
from tests.parity.scripts import CONFIG, LINK_MTU
from tests.support.packets import BASTION, CLIENT, DMZ, FAMILIES, ROUTER, SERVER, TRUST, UNTRUST
from tests.support.private import run

QUEUE = 6
PORTS = {TRUST: "1", UNTRUST: "2", DMZ: "3"}
_ETH_P_ALL = 3
_RECEIVE_BYTES = 4 << 20
_NEIGHBOURS = {TRUST: (CLIENT,), UNTRUST: (SERVER, ROUTER), DMZ: (BASTION,)}


def build_network(directory: Path) -> list[str]:
    """The link-layer addresses of the firewall's ports, in their order."""
    run("mount -t tmpfs tmpfs /run; ip link set lo up; ip netns add far")
    run("ip netns exec far sh -c 'echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6'")
    for number in PORTS.values():
        run(f"ip link add eth{number} mtu {LINK_MTU} type veth peer name far{number} netns far")
        run(f"ip -n far link set far{number} mtu {LINK_MTU} up")
    kernel = Kernel(QUEUE, directory)
    kernel.configure(CONFIG.ports, ())
    kernel.open()
    for port, number in PORTS.items():
        for host in _NEIGHBOURS[port]:
            for family in FAMILIES:
                neighbour = f"{host[family]} lladdr {_address('-n far', f'far{number}')}"
                run(f"ip neighbor replace {neighbour} dev eth{number} nud permanent")
    return [_address("", f"eth{number}") for number in PORTS.values()]


def _address(where: str, interface: str) -> str:
    shown = json.loads(run(f"ip {where} -json link show {interface}"))
    return str(shown[0]["address"])


def hand_out_sockets(to: socket.socket, addresses: str) -> None:
    """In the far namespace: one raw socket for each port, in their order."""
    wires = []
    for number in PORTS.values():
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        wire.bind((f"far{number}", _ETH_P_ALL))
        wires.append(wire)
    socket.send_fds(to, [addresses.encode()], [wire.fileno() for wire in wires])


def main(edge: str, directory: str, descriptor: str) -> None:
    addresses = json.dumps(build_network(Path(directory)))
    far = [sys.executable, "-m", "tests.parity.inside", "wires", descriptor, addresses]
    subprocess.run(["ip", "netns", "exec", "far", *far], pass_fds=[int(descriptor)], check=True)
    options = ["--socket", f"{directory}/socket", "--log", f"{directory}/log"]
    dataplane = [sys.executable, "-m", "dataplane.process", *options]
    subprocess.Popen([*dataplane, "--io", edge, "--queue", str(QUEUE)])
    sys.stdin.read()


if __name__ == "__main__":
    if sys.argv[1] == "wires":
        hand_out_sockets(socket.socket(fileno=int(sys.argv[2])), sys.argv[3])
    else:
        main(*sys.argv[1:])
