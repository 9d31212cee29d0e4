"""Packets that wait for the slowpath, and how it answers."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

from native._engine import lib
from native.flow_key import KEY, FlowKey
from native.lists import ACTION_NUMBERS
from native.structs import record, records

MAX_NAT_TARGETS: int = lib.MAX_NAT_TARGETS

_LOG_START: int = lib.SESSION_LOG_START
_LOG_END: int = lib.SESSION_LOG_END
_UNKEPT: int = lib.SESSION_UNKEPT
_SERVICE_TIMEOUT: int = lib.SESSION_SERVICE_TIMEOUT
_FIXED_C2S: int = lib.SESSION_FIXED_C2S
_FIXED_S2C: int = lib.SESSION_FIXED_S2C
_HOST: int = lib.SESSION_HOST
_ICMP_UNREACHABLE: int = lib.SESSION_ICMP_UNREACHABLE


class DropReason(IntEnum):
    """The drop reasons Python gives; C has the whole list (COUNTERS with severity drop)."""

    flow_fwd_l3_noroute = lib.COUNTER_flow_fwd_l3_noroute
    flow_fwd_l3_mcast_drop = lib.COUNTER_flow_fwd_l3_mcast_drop
    flow_fwd_l3_bcast_drop = lib.COUNTER_flow_fwd_l3_bcast_drop
    flow_host_service_deny = lib.COUNTER_flow_host_service_deny
    flow_no_interface = lib.COUNTER_flow_no_interface
    flow_fwd_l3_noroute_nat = lib.COUNTER_flow_fwd_l3_noroute_nat
    flow_own_source = lib.COUNTER_flow_own_source
    flow_policy_nat_land = lib.COUNTER_flow_policy_nat_land
    flow_policy_nofwd = lib.COUNTER_flow_policy_nofwd
    flow_slowpath_error = lib.COUNTER_flow_slowpath_error
    flow_tap_drop = lib.COUNTER_flow_tap_drop
    flow_tunnel_no_encap = lib.COUNTER_flow_tunnel_no_encap
    nat_port_alloc_fail = lib.COUNTER_nat_port_alloc_fail


class Undecided(NamedTuple):
    """The first packet of a session, parsed."""

    handle: int
    length: int  # bytes, of the IP packet
    now_ns: int
    key: FlowKey
    port: int
    ttl: int
    dscp: int
    tcp_flags: int
    icmp_type: int
    icmp_code: int
    egress: int = 0  # port number: of bridged ports, by which the bridge sends it
    mac: bytes = bytes(6)  # of its sender; zeros where it is not known


class SessionTimeouts(NamedTuple):
    """Timers of a session's own in seconds; 0 is the configured one."""

    established: int = 0  # TCP once established; every other protocol throughout
    half_closed: int = 0
    time_wait: int = 0
    discard: int = 0


class SessionSpec(NamedTuple):
    """A session to install; any action but allow makes a DISCARD session."""

    s2c: FlowKey  # what the server's packets will look like: post-NAT, egress zone
    egress_port: int
    action: str
    rule: int
    application: int
    log_start: bool
    log_end: bool
    keep_denied: bool = True  # whether a denied packet leaves a DISCARD session
    timeouts: SessionTimeouts = SessionTimeouts()
    service_timeout: bool = False  # they come from a service
    path: tuple[int, int] = (0, 0)  # of c2s and s2c packets; 0: by the routes
    fixed_c2s: bool = False  # c2s packets keep port and path whatever the routes say
    fixed_s2c: bool = False
    dscp: tuple[int | None, int | None] = (None, None)  # None: packets keep theirs
    qos_class: int = 0  # 0: none
    oversubscription: int = 0  # not 0: the engine chooses s2c.dport, shared by no more sessions
    lease_pool: int = 0  # the pool in which the source has its lease
    nat_target: int = 0  # where the session is counted as long as it lives
    nat_rule: int = 0
    pbf_rule: int = 0
    qos_rule: int = 0
    is_host: bool = False  # with the firewall itself
    icmp_unreachable: bool = False  # if it denies: tell the sender


_UNDECIDED = record("undecided", f"IIq{KEY}HBBBBBH6s0q")
_SPEC = record("session_spec", f"{KEY}IIHHBBBBBBBIIIHH4I")


def read_undecided(array: Any, count: int) -> list[Undecided]:
    return [
        Undecided(handle, length, now_ns, FlowKey._make(rest[:7]), *rest[7:])
        for handle, length, now_ns, *rest in records(_UNDECIDED, array, count)
    ]


def pack_spec(buffer: Any, spec: SessionSpec) -> None:
    """Writes a struct session_spec."""
    flags = (
        (_LOG_START if spec.log_start else 0)
        | (_LOG_END if spec.log_end else 0)
        | (0 if spec.keep_denied else _UNKEPT)
        | (_SERVICE_TIMEOUT if spec.service_timeout else 0)
        | (_FIXED_C2S if spec.fixed_c2s else 0)
        | (_FIXED_S2C if spec.fixed_s2c else 0)
        | (_HOST if spec.is_host else 0)
        | (_ICMP_UNREACHABLE if spec.icmp_unreachable else 0)
    )
    dscp_c2s, dscp_s2c = spec.dscp
    _SPEC.pack_into(
        buffer,
        0,
        *spec.s2c,
        spec.rule,
        spec.application,
        spec.egress_port,
        flags,
        ACTION_NUMBERS[spec.action],
        spec.qos_class,
        *spec.path,
        0 if dscp_c2s is None else dscp_c2s + 1,
        0 if dscp_s2c is None else dscp_s2c + 1,
        spec.oversubscription,
        spec.nat_rule,
        spec.pbf_rule,
        spec.qos_rule,
        spec.lease_pool,
        spec.nat_target,
        *spec.timeouts,
    )
