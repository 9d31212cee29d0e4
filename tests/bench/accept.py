"""Accepts every packet of a queue; runs on the firewall host until it is killed.

    python -m tests.bench.accept netfilterqueue|native|rewrite

`rewrite` gives every packet back whole with its checksum computed, as a NAT of every packet would.
"""

import sys

from netfilterqueue import NetfilterQueue, Packet

from dataplane.edges.netfilterqueue import QUEUE_PACKETS, SOCKET_BUFFER_BYTES
from native import Nfqueue

QUEUE = 6
READY = "ready"


def accept(packet: Packet) -> None:
    packet.accept()


def with_netfilterqueue() -> None:
    queue = NetfilterQueue()
    queue.bind(QUEUE, accept, max_len=QUEUE_PACKETS, sock_len=SOCKET_BUFFER_BYTES)
    print(READY, flush=True)
    queue.run()


def with_native(mode: str) -> None:
    queue = Nfqueue(QUEUE, None, mode=mode)
    print(READY, flush=True)
    queue.run()


def main(how: str) -> None:
    if how == "netfilterqueue":
        with_netfilterqueue()
    else:
        with_native({"native": "accept", "rewrite": "rewrite"}[how])


if __name__ == "__main__":
    main(*sys.argv[1:])
