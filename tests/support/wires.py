"""A firewall host with a wire at each port: packets are put on and taken off it, as they are.

         far namespace, without any address      |      firewall
    ------------------------------------------------------------------
    far1 (a raw socket on it) ---------------- eth1 trust    192.0.2.1
    far2                      ---------------- eth2 untrust  198.51.100.1
    far3                      ---------------- eth3 dmz      203.0.113.1

`build_network` makes it in a network namespace that is there for it alone, with the hook, addresses
and switches of a firewall (tests/support/packets.py has the addresses). The far namespace never
says anything by itself. The raw sockets go over a Unix socket to whoever wants to use them.
"""

import contextlib
import json
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from control.system.kernel import Kernel
from tests.support.packets import (
    BASTION,
    CLIENT,
    DMZ,
    FAMILIES,
    ROUTER,
    SERVER,
    TRUST,
    UNTRUST,
    snapshot,
)
from tests.support.private import run

QUEUE = 6
MTU = 9000
PORTS = {TRUST: "1", UNTRUST: "2", DMZ: "3"}
_NEIGHBOURS = {TRUST: (CLIENT,), UNTRUST: (SERVER, ROUTER), DMZ: (BASTION,)}
OWN = [
    *(socket.inet_aton(f"{network}.1") for network in ("192.0.2", "198.51.100", "203.0.113")),
    *(socket.inet_pton(socket.AF_INET6, f"2001:db8:{number}::1") for number in PORTS.values()),
]
_KERNELS = (4, *range(130, 144))  # parameter problem, listener and neighbour discovery

_ETH_P_ALL = 3
_SOL_PACKET, _PACKET_VNET_HDR = 263, 15  # linux/socket.h, linux/if_packet.h
_SO_TIMESTAMPNS = 35  # asm-generic/socket.h
_RECEIVE_BYTES = 16 << 20
_ETHERTYPES = {4: b"\x08\0", 6: b"\x86\xdd"}

# linux/virtio_net.h: flags; kind of segmentation, length of headers and of a segment; where the
# checksum begins, and where from there it is
_VNET = struct.Struct("<BBHHHH")
_NEEDS_CHECKSUM = 1
_SEGMENTS = {(4, 6): 1, (6, 6): 4}  # by family and protocol
CHECKSUM_AT = {6: 16, 17: 6}  # within TCP and UDP
_HEADER_BYTES = {6: 20, 17: 8}

# ---- the network ---------------------------------------------------------------------------------


def build_network(directory: Path, *, fail_open: bool = False) -> list[str]:
    """The link-layer addresses of the firewall's ports, in their order.

    With fail_open the hook lets packets pass that nobody marked.
    """
    run("mount -t tmpfs tmpfs /run; ip link set lo up; ip netns add far")
    run("ip netns exec far sh -c 'echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6'")
    for number in PORTS.values():
        run(f"ip link add eth{number} mtu {MTU} type veth peer name far{number} netns far")
        # whole packets of any size get in
        run(f"ip -n far link set far{number} mtu {MTU} gso_max_size 131072 up")
    kernel = Kernel(QUEUE, directory)
    kernel.configure(replace(snapshot(), fail_open=fail_open), ())
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


def send_sockets(descriptor: int, addresses: Sequence[str]) -> None:
    """Sends the raw sockets over a Unix socket, from the far namespace."""
    program = [sys.executable, "-m", __name__, str(descriptor), json.dumps(addresses)]
    subprocess.run(["ip", "netns", "exec", "far", *program], pass_fds=[descriptor], check=True)


def _main(descriptor: str, addresses: str) -> None:
    wires = []
    for number in PORTS.values():
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        wire.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
        # as a running ping or tcpdump has it: messages of the queue are longer by the time then
        wire.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        wire.bind((f"far{number}", _ETH_P_ALL))
        wires.append(wire)
    with socket.socket(fileno=int(descriptor)) as to:
        socket.send_fds(to, [addresses.encode()], [wire.fileno() for wire in wires])


# ---- packets -----------------------------------------------------------------------------------


def layer4(packet: bytes) -> tuple[int, int]:
    """Where it begins and its protocol, in packets without options and extension headers."""
    return (20, packet[9]) if packet[0] >> 4 == 4 else (40, packet[6])


def _sum(data: bytes) -> int:
    data += bytes(len(data) % 2)
    words: tuple[int, ...] = struct.unpack(f"!{len(data) // 2}H", data)
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def checksum(data: bytes) -> bytes:
    """The Internet checksum (RFC 1071) of data in which it is zero."""
    return (_sum(data) ^ 0xFFFF).to_bytes(2)


def _pseudo_header(packet: bytes) -> bytes:
    at, protocol = layer4(packet)
    addresses = packet[12:20] if packet[0] >> 4 == 4 else packet[8:40]
    return addresses + protocol.to_bytes(4) + (len(packet) - at).to_bytes(4)


def unfinished(packet: bytes) -> bytes:
    """With the sum of the pseudo header in the place of the checksum of TCP or UDP, as Linux has
    it until the last moment.
    """
    at, protocol = layer4(packet)
    at += CHECKSUM_AT[protocol]
    return packet[:at] + _sum(_pseudo_header(packet)).to_bytes(2) + packet[at + 2 :]


def finished(packet: bytes) -> bytes:
    """With the checksum of TCP or UDP that is right."""
    start, protocol = layer4(packet)
    at = start + CHECKSUM_AT[protocol]
    zeroed = packet[start:at] + b"\0\0" + packet[at + 2 :]
    total = checksum(_pseudo_header(packet) + zeroed)
    return packet[:at] + total + packet[at + 2 :]


def forwarded(packet: bytes) -> bytes:
    """What the kernel makes of a packet that was accepted: one hop less."""
    if packet[0] >> 4 == 6:
        return packet[:7] + bytes([packet[7] - 1]) + packet[8:]
    header = packet[:8] + bytes([packet[8] - 1, packet[9], 0, 0]) + packet[12 : packet[0] % 16 * 4]
    return header[:10] + checksum(header) + header[12:] + packet[len(header) :]


# ---- the wires -----------------------------------------------------------------------------------


class Seen(NamedTuple):
    """A packet as it came off a wire."""

    packet: bytes
    is_unfinished: bool  # its layer 4 checksum is to be computed by whoever really sends it


class Wire:
    """The far end of a port."""

    def __init__(self, raw: socket.socket, port_address: str) -> None:
        self._raw = raw
        raw.setblocking(False)
        self._link = bytes.fromhex(port_address.replace(":", "")) + b"\2\0\0\0\0\1"
        self._seen: list[Seen] = []

    def send(self, packet: bytes) -> None:
        self._send(bytes(_VNET.size), packet)

    def send_unfinished(self, packet: bytes, *, segment_bytes: int = 0) -> None:
        """Sends a TCP or UDP packet as a host does that leaves the checksum to its network card,
        and with `segment_bytes` cutting the TCP payload, too.
        """
        at, protocol = layer4(packet)
        segments = _SEGMENTS[packet[0] >> 4, protocol] if segment_bytes else 0
        header = _VNET.pack(
            _NEEDS_CHECKSUM,
            segments,
            14 + at + _HEADER_BYTES[protocol],
            segment_bytes,
            14 + at,
            CHECKSUM_AT[protocol],
        )
        self._send(header, unfinished(packet))

    def _send(self, header: bytes, packet: bytes) -> None:
        ethertype = _ETHERTYPES.get(packet[0] >> 4, _ETHERTYPES[4])
        self._raw.send(header + self._link + ethertype + packet)

    def seen(self) -> list[Seen]:
        """The IP packets that came out of the port since the last `forget`."""
        with contextlib.suppress(BlockingIOError):
            while True:
                data, (_, _, kind, *_) = self._raw.recvfrom(1 << 17)
                flags, frame = data[0], data[_VNET.size :]
                packet = frame[14:]
                if kind == socket.PACKET_OUTGOING or frame[12:14] not in _ETHERTYPES.values():
                    continue
                if not _is_of_the_kernel(packet):
                    self._seen.append(Seen(packet, bool(flags & _NEEDS_CHECKSUM)))
        return list(self._seen)

    def packets(self) -> list[bytes]:
        return [seen.packet for seen in self.seen()]

    def forget(self) -> None:
        self.seen()
        self._seen.clear()

    def close(self) -> None:
        self._raw.close()


def _is_of_the_kernel(packet: bytes) -> bool:
    """What the firewall's kernel says itself: group membership, neighbour discovery, errors."""
    if packet[0] >> 4 == 4:
        return packet[9] == socket.IPPROTO_IGMP
    is_said_by_it = packet[6] == socket.IPPROTO_ICMPV6 and packet[40] in _KERNELS
    return is_said_by_it or packet[24:26] == b"\xff\x02"  # the link's multicast: reports of groups


def receive_wires(over: socket.socket) -> dict[str, Wire]:
    """The wires by port, from where send_sockets sends them. An empty dict where nothing comes."""
    said, descriptors, *_ = socket.recv_fds(over, 4096, len(PORTS))
    raw = (socket.socket(fileno=descriptor) for descriptor in descriptors)
    return {
        port: Wire(raw, address)
        for port, raw, address in zip(PORTS, raw, json.loads(said or "[]"), strict=False)
    }


@contextlib.contextmanager
def wired_firewall(*, fail_open: bool = False) -> Iterator[dict[str, Wire]]:
    """The wires of a network that is built in the namespace this process is in."""
    addresses = build_network(Path("/run"), fail_open=fail_open)
    here, there = socket.socketpair()
    with here, there:
        send_sockets(there.fileno(), addresses)
        wires = receive_wires(here)
    yield wires
    for wire in wires.values():
        wire.close()


if __name__ == "__main__":
    _main(*sys.argv[1:])
