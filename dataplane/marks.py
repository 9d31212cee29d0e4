"""Marks on packets: what was decided, for the kernel to hold to.

The kernel routes a packet after its verdict and might send it elsewhere than the decision was for:
its tables change while ours still mirror them, or the packet's addresses are not what they seem. So
a verdict marks its packet with the zone it may leave by, or as one for the machine itself, and the
hook (control/system/hook.py) lets nothing pass whose mark does not fit. The lowest byte is
nobody's.
"""

from zlib import crc32

MASK = 0xFFFFFF00
HOST = 0x00000100
_ZONE = 0x80000000


def of_zone(zone: str) -> int:
    """The same for the same name, in every process and after every commit."""
    return _ZONE | crc32(zone.encode()) & MASK
