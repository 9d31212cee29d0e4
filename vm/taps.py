"""Opening the tap that is a host's eth0: whoever has it open is the other end of its link."""

import contextlib
import ctypes
import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path

TUN = Path("/dev/net/tun")
_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI, _IFF_MULTI_QUEUE, _IFF_VNET_HDR = 0x2, 0x1000, 0x100, 0x4000
_CLONE_NEWNET = 0x40000000


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


@contextlib.contextmanager
def _in_namespace(host: str) -> Iterator[None]:
    """A tap is found, and made, in the network namespace of the one who opens it."""
    ours = os.open("/proc/self/ns/net", os.O_RDONLY)
    theirs = os.open(f"/run/netns/{host}", os.O_RDONLY)
    try:
        _enter(theirs)
        yield
        _enter(ours)
    finally:
        os.close(theirs)
        os.close(ours)


def _open(flags: int) -> int:
    tap = os.open(TUN, os.O_RDWR)
    try:
        fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH22x", b"eth0", _IFF_TAP | _IFF_NO_PI | flags))
    except OSError:
        os.close(tap)
        raise
    return tap


def open_plain(host: str) -> int:
    """A read or a write is one Ethernet frame with good checksums, no longer than the link."""
    with _in_namespace(host):
        return _open(0)


def open_queues(host: str, queues: int) -> list[int]:
    """A descriptor for each queue; frames have a virtio header and may be large and unfinished."""
    with _in_namespace(host):
        return [_open(_IFF_MULTI_QUEUE | _IFF_VNET_HDR) for _ in range(queues)]
