"""The key of a flow, which most of the engine's records have."""

from typing import NamedTuple

KEY = "16s16sHHHBB"  # its layout, within that of a record


class FlowKey(NamedTuple):
    src: bytes  # 16 bytes
    dst: bytes
    sport: int
    dport: int
    zone: int
    proto: int
    family: int  # 4 or 6
