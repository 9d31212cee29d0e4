"""The typed face of the C engine; nothing outside this package touches `ffi` and `lib`.

Addresses are 16 bytes as in a flow key (IPv4 in the last four behind ::ffff:), times are integer
nanoseconds of whatever clock the caller hands in, everything else is in host order. One thread at a
time may use an Engine.

`engine` has its calls; what they take and give is in `configuration` (with `protection` and
`tunnels`), `packets`, `undecided`, `sessions` and `threats`. `nfqueue` and `replay` drive an engine
from C. `lists` is what C knows by name, `structs` how its memory is read and filled.
"""

from native.captures import Capture, CaptureError, CaptureWriter
from native.configuration import (
    MAX_VIRTUAL_ROUTERS,
    PORT_MODES,
    EngineConfig,
    OffloadProfile,
    PortConfig,
)
from native.engine import Engine, Stats
from native.fib import Fib
from native.flow_key import FlowKey
from native.lists import (
    ACTIONS,
    COUNTERS,
    END_REASONS,
    FLOODS,
    PROTECTIONS,
    SCANS,
    SESSION_STATES,
    TCP_STATES,
    TIMERS,
    CounterInfo,
    ProtectionInfo,
    ThreatInfo,
    TimerInfo,
)
from native.nfqueue import Nfqueue, NfqueueError, NfqueueStats
from native.packet_info import PacketInfo, describe
from native.packets import MAX_BURST, InputFlag, LinkType, Packet, Verdict, VerdictAction
from native.protection import (
    CLASSIFIED_BY,
    DOS_ACTIONS,
    MAX_DOS_RULES,
    MAX_PROTECTIONS,
    SCAN_ACTIONS,
    BufferProtection,
    DosLimits,
    DosRule,
    FloodLimits,
    ScanLimits,
    ServiceRange,
    ZoneProtection,
)
from native.replay import FOREVER_NS, Replay, ReplayStats, ReplayStop
from native.sessions import (
    NAT_BOTH,
    NAT_DESTINATION,
    NAT_NONE,
    NAT_SOURCE,
    Event,
    EventType,
    Filter,
    SessionView,
    TcpLimits,
)
from native.threats import Blocked, DosStats, FloodStats, Threat, ThreatType, ZoneStats
from native.tunnels import MAX_TUNNEL_DEPTH, MAX_TUNNELS, TUNNEL_TYPES, TunnelConfig
from native.undecided import MAX_NAT_TARGETS, DropReason, SessionSpec, SessionTimeouts, Undecided

__all__ = [
    "ACTIONS",
    "CLASSIFIED_BY",
    "COUNTERS",
    "DOS_ACTIONS",
    "END_REASONS",
    "FLOODS",
    "FOREVER_NS",
    "MAX_BURST",
    "MAX_DOS_RULES",
    "MAX_NAT_TARGETS",
    "MAX_PROTECTIONS",
    "MAX_TUNNELS",
    "MAX_TUNNEL_DEPTH",
    "MAX_VIRTUAL_ROUTERS",
    "NAT_BOTH",
    "NAT_DESTINATION",
    "NAT_NONE",
    "NAT_SOURCE",
    "PORT_MODES",
    "PROTECTIONS",
    "SCANS",
    "SCAN_ACTIONS",
    "SESSION_STATES",
    "TCP_STATES",
    "TIMERS",
    "TUNNEL_TYPES",
    "Blocked",
    "BufferProtection",
    "Capture",
    "CaptureError",
    "CaptureWriter",
    "CounterInfo",
    "DosLimits",
    "DosRule",
    "DosStats",
    "DropReason",
    "Engine",
    "EngineConfig",
    "Event",
    "EventType",
    "Fib",
    "Filter",
    "FloodLimits",
    "FloodStats",
    "FlowKey",
    "InputFlag",
    "LinkType",
    "Nfqueue",
    "NfqueueError",
    "NfqueueStats",
    "OffloadProfile",
    "Packet",
    "PacketInfo",
    "PortConfig",
    "ProtectionInfo",
    "Replay",
    "ReplayStats",
    "ReplayStop",
    "ScanLimits",
    "ServiceRange",
    "SessionSpec",
    "SessionTimeouts",
    "SessionView",
    "Stats",
    "TcpLimits",
    "Threat",
    "ThreatInfo",
    "ThreatType",
    "TimerInfo",
    "TunnelConfig",
    "Undecided",
    "Verdict",
    "VerdictAction",
    "ZoneProtection",
    "ZoneStats",
    "describe",
]
