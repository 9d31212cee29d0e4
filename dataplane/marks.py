"""Marks on packets: what was decided, for the kernel to hold to.

    31 .... 13 | 12 .... 9 | 8    | 7 ... 0
    zone       | QoS class | host | path

The kernel routes a packet after its verdict and might send it elsewhere than the decision was for:
its tables change while ours still mirror them, or the packet's addresses are not what they seem. So
a verdict marks its packet with the zone it may leave by, or as one for the machine itself, and the
hook (control/system/hook.py) lets nothing pass whose mark does not fit. The path chooses a routing
table of its own (snapshot.Path), 0 the ordinary ones; the class is what QoS shapes by.
"""

from zlib import crc32

ZONE_MASK = 0xFFFFE000
HOST = 0x00000100
MASK = ZONE_MASK | HOST  # what the hook looks at
CLASS_SHIFT = 9
CLASS_MASK = 15 << CLASS_SHIFT  # 0: no rule gave it a class
PATH_MASK = 0xFF
BROADCAST = 1  # of a bridged packet on its way in: its frame is for every host of the link
_ZONE = 0x80000000


def of_zone(zone: str) -> int:
    """The same for the same name, in every process and after every commit."""
    return _ZONE | crc32(zone.encode()) & ZONE_MASK
