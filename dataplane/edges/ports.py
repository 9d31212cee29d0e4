"""Which Linux interface is which port, for edges that get interface indices from the kernel."""

import socket
from collections.abc import Iterable

from dataplane.engine import Engine
from dataplane.snapshot import Port


def by_index(engine: Engine, ports: Iterable[Port]) -> dict[int, int]:
    """Port numbers by interface index. An interface that is not there cannot send packets
    either; one that comes back has another index, so edges look again every second.
    """
    numbers = {}
    for port in ports:
        if port.mode == "loopback":  # several share one interface, and nothing arrives by it
            continue
        try:
            index = socket.if_nametoindex(port.interface)
        except OSError:
            continue
        numbers[index] = engine.port_number(port.name)
    return numbers
