"""The other end of a GRE or IP in IP tunnel, in a host whose kernel has no such devices.

    tunnel_peer gre|ipip DEVICE LOCAL PEER

Packets between a TUN device and raw sockets; "ready" once they are there, and then until it is
killed. What is received is judged here: it must be exactly what the RFCs say (2784, 2003, 4213).
"""

import fcntl
import os
import selectors
import socket
import struct
import sys

_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 1, 0x1000
_IP_MTU_DISCOVER, _PMTUDISC_DONT = 10, 0
_GRE, _IPV4, _IPV6 = 47, 4, 41
_ETHERTYPES = {4: 0x0800, 6: 0x86DD}


def _tun(name: str) -> int:
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    return tun


def _raw(family: socket.AddressFamily, protocol: int, local: str) -> socket.socket:
    raw = socket.socket(family, socket.SOCK_RAW, protocol)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    if family == socket.AF_INET:
        raw.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_DONT)
    raw.bind((local, 0))
    return raw


def _opened(protocol: int, payload: bytes) -> bytes:
    """The packet within."""
    if protocol != _GRE:
        assert payload[0] >> 4 == (4 if protocol == _IPV4 else 6), payload[:20].hex()
        return payload
    flags, kind = struct.unpack_from(">HH", payload)
    assert flags == 0, f"GRE flags {flags:#x}"
    assert kind == _ETHERTYPES[payload[4] >> 4], f"GRE protocol {kind:#x}"
    return payload[4:]


def main(kind: str, device: str, local: str, peer: str) -> None:
    family = socket.AF_INET6 if ":" in local else socket.AF_INET
    sockets = {
        protocol: _raw(family, protocol, local)
        for protocol in ((_GRE,) if kind == "gre" else (_IPV4, _IPV6))
    }
    tun = _tun(device)
    print("ready", flush=True)
    waiting = selectors.DefaultSelector()
    waiting.register(tun, selectors.EVENT_READ, 0)
    for protocol, raw in sockets.items():
        waiting.register(raw, selectors.EVENT_READ, protocol)
    while True:
        for key, _ in waiting.select():
            if key.data:
                data, sender = sockets[key.data].recvfrom(65536)
                if sender[0] == peer:
                    header = (data[0] & 15) * 4 if family == socket.AF_INET else 0
                    os.write(tun, _opened(key.data, data[header:]))
                continue
            packet = os.read(tun, 65536)
            version = packet[0] >> 4
            if kind == "gre":
                gre = struct.pack(">HH", 0, _ETHERTYPES[version])
                sockets[_GRE].sendto(gre + packet, (peer, 0))
            else:
                protocol = _IPV4 if version == 4 else _IPV6
                sockets[protocol].sendto(packet, (peer, 0))


if __name__ == "__main__":
    main(*sys.argv[1:])
