"""`show session` and `clear session`.

What this firewall does not have prints as on a device that does not use it. In `show session
info` the switches tell the truth (no hardware offload, no accelerated aging), while the
parameters of what is not there show the vendor's defaults.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping

import msgspec

from control.cli.answers import RefusedError, ask
from control.management import Management
from dataplane.messages import (
    ClearSession,
    ClearSessions,
    Done,
    Flow,
    GetSession,
    GetSessions,
    GetStatus,
    Session,
    SessionDetail,
    SessionFilter,
    SessionPage,
    Status,
)

MAX_LISTED = 100_000  # sessions `show session all` prints; about 20 MB of text

RULE = "-" * 80

_HEADER = f"""\
{RULE}
ID          Application    State   Type Flag  Src[Sport]/Zone/Proto (translated IP[Port])
Vsys                                          Dst[Dport]/Zone (translated IP[Port])
{RULE}
"""

_NUMBERS = frozenset({"source_port", "destination_port", "protocol"})


def session_filter(arguments: Mapping[str, str]) -> SessionFilter:
    """The filter of a command's arguments, which are named as its fields."""
    wanted = {
        name: int(text) if name in _NUMBERS else text
        for name, text in arguments.items()
        if name in SessionFilter.__struct_fields__
    }
    return msgspec.convert(wanted, SessionFilter)


# ---- show session all ----------------------------------------------------------------------------


async def listing(management: Management, wanted: SessionFilter) -> AsyncIterator[str]:
    """The session table, page by page as the dataplane gives it."""
    shown = left_out = cursor = 0
    while True:
        page = await ask(management, GetSessions(cursor, wanted), SessionPage)
        listed = page.sessions[: MAX_LISTED - shown]
        if listed:
            yield ("" if shown else _HEADER) + "".join(map(_rows, listed))
        shown += len(listed)
        left_out += len(page.sessions) - len(listed)
        cursor = page.cursor
        if not cursor:
            break
        if shown == MAX_LISTED and wanted == SessionFilter():
            # nobody has to count what the dataplane has counted
            status = await ask(management, GetStatus(), Status)
            left_out = max(status.allocated - shown, 0)
            break
    if not shown:
        yield "No Active Sessions\n"
    if left_out:
        hint = "a filter chooses which to print"
        yield f"Output stopped after {shown} sessions, {left_out} left out; {hint}\n"


async def count(management: Management, wanted: SessionFilter) -> str:
    found = cursor = 0
    while True:
        page = await ask(management, GetSessions(cursor, wanted), SessionPage)
        found += len(page.sessions)
        cursor = page.cursor
        if not cursor:
            return f"Number of sessions that match filter: {found}\n"


def _rows(session: Session) -> str:
    c2s, s2c = session.c2s, session.s2c
    identity = f"{session.id:<12d} {session.application:<14s} {session.state:<7s}"
    source = f"{c2s.source}[{c2s.sport}]/{c2s.zone}/{session.protocol}"
    destination = f"{c2s.destination}[{c2s.dport}]/{s2c.zone}"
    return (
        f"{identity} {session.type:<4s} {_flag(c2s, s2c):<5s} {source}"
        f"  ({s2c.destination}[{s2c.dport}])\n"
        f"{session.vsys:<46s} {destination}  ({s2c.source}[{s2c.sport}])\n"
    )


def _flag(c2s: Flow, s2c: Flow) -> str:
    """What is translated, by comparing what the client sent with what the server answers to."""
    source = (c2s.source, c2s.sport) != (s2c.destination, s2c.dport)
    destination = (c2s.destination, c2s.dport) != (s2c.source, s2c.sport)
    return {(True, False): " NS", (False, True): " ND", (True, True): " NB"}.get(
        (source, destination), ""
    )


# ---- show session id -----------------------------------------------------------------------------


async def detail(management: Management, session_id: int) -> str:
    answer = await ask(management, GetSession(session_id), SessionDetail)
    if answer.session is None:
        raise RefusedError(f"session {session_id} not found")
    return render_detail(answer.session)


def render_detail(session: Session) -> str:
    lines = [
        f"Session{session.id:>16d}",
        "",
        *_flow("c2s", session.c2s, session),
        "",
        *_flow("s2c", session.s2c, session),
        "",
        *(f"        {label:<37s}: {value}" for label, value in _facts(session)),
    ]
    return "\n".join(lines) + "\n"


def _flow(name: str, flow: Flow, session: Session) -> list[str]:
    indent = " " * 16
    return [
        f"        {name} flow:",
        f"{indent}source:      {flow.source} [{flow.zone}]",
        f"{indent}dst:         {flow.destination}",
        f"{indent}proto:       {session.protocol}",
        f"{indent}sport:       {flow.sport:<15d} dport:      {flow.dport}",
        f"{indent}state:       {session.state:<15s} type:       {session.type}",
        f"{indent}src user:    unknown",
        f"{indent}dst user:    unknown",
    ]


def _facts(session: Session) -> list[tuple[str, str]]:
    facts = [
        ("start time", time.ctime(session.start_ns // 10**9)),
        ("timeout", f"{session.timeout_s} sec"),
    ]
    if session.in_ager:
        # rounded up, so that a session shows its whole timeout right after a packet
        left_s = -((session.now_ns - session.end_ns) // 10**9)
        facts.append(("time to live", f"{max(left_s, 0)} sec"))
    facts += [
        ("total byte count(c2s)", f"{session.bytes_c2s}"),
        ("total byte count(s2c)", f"{session.bytes_s2c}"),
        # no packet of a session bypasses the software path, where layer 7 would look
        ("layer7 packet count(c2s)", f"{session.packets_c2s}"),
        ("layer7 packet count(s2c)", f"{session.packets_s2c}"),
        ("vsys", session.vsys),
        ("application", session.application),
        ("rule", session.rule),
        ("service timeout override(index)", "False"),
        ("session to be logged at end", f"{session.log_end}"),
        ("session in session ager", f"{session.in_ager}"),
        ("session updated by HA peer", "False"),
        # "enabled" would say that an application is still being looked for
        ("layer7 processing", "completed"),
        ("URL filtering enabled", "False"),
        ("session via syn-cookies", "False"),
        ("session terminated on host", "False"),
        ("session traverses tunnel", "False"),
        ("session terminate tunnel", "False"),
        ("captive portal session", "False"),
        ("ingress interface", session.ingress),
        ("egress interface", session.egress),
        ("session QoS rule", "N/A (class 4)"),
    ]
    if session.tracker:
        facts.append(("tracker stage firewall", session.tracker))
    # what is noted of a session that lives may still change
    is_over = session.state == "INIT"
    facts.append(("end-reason", (is_over and session.end_reason) or "unknown"))
    return facts


# ---- show session info ---------------------------------------------------------------------------


async def info(management: Management) -> str:
    return render_info(await ask(management, GetStatus(), Status))


# label, knob, value where the dataplane has no such timer (the vendor's default), unit
_TIMEOUTS = (
    ("TCP default timeout", "timeout-tcp", 3600, "secs"),
    ("TCP session timeout before SYN-ACK received", "timeout-tcpinit", 5, "secs"),
    ("TCP session timeout before 3-way handshaking", "timeout-tcphandshake", 10, "secs"),
    ("TCP half-closed session timeout", "timeout-tcp-half-closed", 120, "secs"),
    ("TCP session timeout in TIME_WAIT", "timeout-tcp-time-wait", 15, "secs"),
    ("TCP session delayed ack timeout", "", 250, "millisecs"),
    ("TCP session timeout for unverified RST", "timeout-tcp-unverified-rst", 30, "secs"),
    ("UDP default timeout", "timeout-udp", 30, "secs"),
    ("ICMP default timeout", "timeout-icmp", 6, "secs"),
    ("SCTP default timeout", "timeout-sctp", 3600, "secs"),
    ("SCTP timeout before INIT-ACK received", "timeout-sctp-init", 5, "secs"),
    ("SCTP timeout before COOKIE received", "timeout-sctp-cookie", 60, "secs"),
    ("SCTP timeout before SHUTDOWN received", "timeout-sctp-shutdown", 30, "secs"),
    ("other IP default timeout", "timeout-default", 30, "secs"),
    ("Captive Portal session timeout", "timeout-captive-portal", 30, "secs"),
)


def render_info(status: Status) -> str:
    timeouts = status.timeouts_s
    discard = (
        f"TCP: {timeouts.get('timeout-discard-tcp', 90)} secs,"
        f" UDP: {timeouts.get('timeout-discard-udp', 60)} secs, SCTP: 60 secs,"
        f" other IP protocols: {timeouts.get('timeout-discard-default', 60)} secs"
    )
    utilization = status.allocated * 100 // max(status.max_sessions, 1)
    lines = [
        "target-dp: *.dp0",
        RULE,
        _fact("Number of sessions supported", status.max_sessions),
        _fact("Number of allocated sessions", status.allocated),
        _fact("Number of active TCP sessions", status.tcp),
        _fact("Number of active UDP sessions", status.udp),
        _fact("Number of active ICMP sessions", status.icmp),
        _fact("Number of active GTPc sessions", 0),
        _fact("Number of active GTPu sessions", 0),
        _fact("Number of pending GTPu sessions", 0),
        _fact("Number of active BCAST sessions", 0),
        _fact("Number of active MCAST sessions", 0),
        _fact("Number of active predict sessions", 0),
        _fact("Number of active SCTP sessions", 0),
        _fact("Number of active SCTP associations", 0),
        _fact("Session table utilization", f"{utilization}%"),
        _fact("Number of sessions created since bootup", status.installed),
        _fact("Packet rate", f"{status.packets_per_s}/s"),
        _fact("Throughput", f"{status.kbps} kbps"),
        _fact("New connection establish rate", f"{status.sessions_per_s} cps"),
        RULE,
        "Session timeout",
        *(
            _fact(f"  {label}", f"{timeouts.get(knob, default):>4d} {unit}")
            for label, knob, default, unit in _TIMEOUTS
        ),
        "  Session timeout in discard state:",
        f"    {discard}",
        RULE,
        _fact("Session accelerated aging", "False"),
        _fact("  Accelerated aging threshold", "80% of utilization"),
        _fact("  Scaling factor", "2 X"),
        RULE,
        "Session setup",
        _fact("  TCP - reject non-SYN first packet", f"{status.tcp_reject_non_syn}"),
        _fact("  Hardware session offloading", "False"),
        _fact("  Hardware UDP session offloading", "False"),
        _fact("  IPv6 firewalling", f"{status.ipv6_firewalling}"),
        _fact("  Strict TCP/IP checksum", "True"),
        _fact("  Strict TCP RST sequence", "False"),
        _fact("  Reject TCP small initial window", "False"),
        _fact("  ICMP Unreachable Packet Rate", "200 pps"),
        RULE,
        "Application trickling scan parameters:",
        _fact("  Timeout to determine application trickling", "10 secs"),
        _fact("  Resource utilization threshold to start scan", "80%"),
        _fact("  Scan scaling factor over regular aging", 8),
        RULE,
        _fact("Session behavior when resource limit is reached", "drop"),
        RULE,
        "Pcap token bucket rate                         : 10485760",
        RULE,
        "Max pending queued mcast packets per session   : 0",
        RULE,
    ]
    return "\n".join(lines) + "\n"


def _fact(label: str, value: int | str) -> str:
    return f"{label + ':':<48s} {value}"


# ---- clear session -------------------------------------------------------------------------------


async def clear(management: Management, session_id: int) -> str:
    answer = await ask(management, ClearSession(session_id), Done)
    if not answer.count:
        raise RefusedError(f"session {session_id} not found")
    return f"session {session_id} cleared\n"


async def clear_all(management: Management, wanted: SessionFilter) -> str:
    cursor = 0
    while True:
        cursor = (await ask(management, ClearSessions(cursor, wanted), Done)).cursor
        if not cursor:
            return "Sessions cleared\n"
