"""The 802.1Q switch between the tagged hosts and the machine's port: an access port for each host.

A host's port is its tap, the trunk a Unix socket on which a datagram is a frame (qemu's `dgram`
network). Frames of a host get the tag of its VLAN; frames of the trunk lose theirs and go to the
host of that VLAN. Everything else - untagged on the trunk, tagged by a host, of another VLAN - goes
nowhere, as on a switch that has these ports only.

Started by the holder (holder.py), in the lab; it ends with it.
"""

import contextlib
import os
import selectors
import socket
import struct
from pathlib import Path

from vm import taps
from vm.topology import TAGGED

TRUNK = Path("/run/lab/trunk.sock")  # the switch's end
MACHINE_TRUNK = Path("/run/lab/trunk-machine.sock")
_ADDRESSES_BYTES = 12  # destination and source; then comes the type or the tag
_TAG = struct.Struct(">HH")
_DOT1Q = 0x8100
_VLAN_MASK = 0xFFF
_FRAME_BYTES = 65536


def tagged(frame: bytes, vlan: int) -> bytes | None:
    """A host's frame as the trunk has it; None where it does not go there."""
    addresses, rest = frame[:_ADDRESSES_BYTES], frame[_ADDRESSES_BYTES:]
    if len(rest) < 2 or rest.startswith(_DOT1Q.to_bytes(2)):
        return None
    return addresses + _TAG.pack(_DOT1Q, vlan) + rest


def untagged(frame: bytes) -> tuple[int, bytes] | None:
    """The VLAN of a frame of the trunk, and the frame as a host has it."""
    addresses, rest = frame[:_ADDRESSES_BYTES], frame[_ADDRESSES_BYTES:]
    if len(rest) < _TAG.size + 2:
        return None
    kind, control = _TAG.unpack_from(rest)
    if kind != _DOT1Q:
        return None
    return control & _VLAN_MASK, addresses + rest[_TAG.size :]


def main() -> None:
    access = {link.vlan: taps.open_plain(link.host) for link in TAGGED}
    trunk = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    trunk.bind(str(TRUNK))
    waiting = selectors.DefaultSelector()
    waiting.register(trunk, selectors.EVENT_READ, None)
    for vlan, tap in access.items():
        waiting.register(tap, selectors.EVENT_READ, vlan)
    while True:
        for key, _ in waiting.select():
            # a machine that is off or busy, a host whose link is down: the frame is lost
            with contextlib.suppress(OSError):
                if key.data is None:
                    found = untagged(trunk.recv(_FRAME_BYTES))
                    if found and found[0] in access:
                        os.write(access[found[0]], found[1])
                elif frame := tagged(os.read(key.fd, _FRAME_BYTES), key.data):
                    trunk.sendto(frame, socket.MSG_DONTWAIT, str(MACHINE_TRUNK))


if __name__ == "__main__":
    main()
