"""`show session all`, `show session id` and `clear session`.

What this firewall does not have prints as on a device that does not use it. What the device does
not print stands between its lines, in their layout.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence

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

_RULE = "-" * 80

_HEADER = f"""\
{_RULE}
ID          Application    State   Type Flag  Src[Sport]/Zone/Proto (translated IP[Port])
Vsys                                          Dst[Dport]/Zone (translated IP[Port])
{_RULE}
"""

# What the dataplane does not filter by.
_SHOWN_FIELDS = frozenset({"ingress", "egress", "pbf_rule", "qos_rule"})
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


async def listing(management: Management, arguments: Mapping[str, str]) -> AsyncIterator[str]:
    """The session table, page by page as the dataplane gives it."""
    shown = left_out = cursor = 0
    while True:
        cursor, sessions = await _page(management, cursor, arguments)
        listed = sessions[: MAX_LISTED - shown]
        if listed:
            yield ("" if shown else _HEADER) + "".join(map(_rows, listed))
        shown += len(listed)
        left_out += len(sessions) - len(listed)
        if not cursor:
            break
        if shown == MAX_LISTED and not arguments:
            # nobody has to count what the dataplane has counted
            status = await ask(management, GetStatus(), Status)
            left_out = max(status.allocated - shown, 0)
            break
    if not shown:
        yield "No Active Sessions\n"
    if left_out:
        hint = "a filter chooses which to print"
        yield f"Output stopped after {shown} sessions, {left_out} left out; {hint}\n"


async def count(management: Management, arguments: Mapping[str, str]) -> str:
    found = cursor = 0
    while True:
        cursor, sessions = await _page(management, cursor, arguments)
        found += len(sessions)
        if not cursor:
            return f"Number of sessions that match filter: {found}\n"


async def _page(
    management: Management, cursor: int, arguments: Mapping[str, str]
) -> tuple[int, list[Session]]:
    """The next cursor, and the sessions of a page that were asked for."""
    wanted = {name: text for name, text in arguments.items() if name in _SHOWN_FIELDS}
    page = await ask(management, GetSessions(cursor, session_filter(arguments)), SessionPage)
    return page.cursor, [
        session
        for session in page.sessions
        if all(getattr(session, name) == text for name, text in wanted.items())
    ]


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
    flags = {(True, False): " NS", (False, True): " ND", (True, True): " NB"}
    return flags.get(_translated(c2s, s2c), "")


def _translated(c2s: Flow, s2c: Flow) -> tuple[bool, bool]:
    """Source and destination, by comparing what the client sent with what the server answers to."""
    return (
        (c2s.source, c2s.sport) != (s2c.destination, s2c.dport),
        (c2s.destination, c2s.dport) != (s2c.source, s2c.sport),
    )


# ---- show session id -----------------------------------------------------------------------------


async def detail(management: Management, session_id: int) -> str:
    answer = await ask(management, GetSession(session_id), SessionDetail)
    if answer.session is None:
        raise RefusedError(f"session {session_id} not found")
    rules = [rule.name for rule in management.snapshot().pbf_rules]
    return render_detail(answer.session, rules)


def render_detail(session: Session, pbf_rules: Sequence[str]) -> str:
    lines = [
        f"Session{session.id:>16d}",
        "",
        *_flow("c2s", session.c2s, session),
        *_pbf_rule(session, pbf_rules),
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


def _pbf_rule(session: Session, pbf_rules: Sequence[str]) -> list[str]:
    """The rule with its number, as long as it has one."""
    if not session.pbf_rule:
        return []
    number = f" {pbf_rules.index(session.pbf_rule) + 1}" if session.pbf_rule in pbf_rules else ""
    return [f"{'':<16s}pbf rule:    {session.pbf_rule}{number}"]


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
        # a report of the offload engine brings the packets since the last one, all at once
        ("layer7 packet count(c2s)", f"{session.packets_c2s}"),
        ("layer7 packet count(s2c)", f"{session.packets_s2c}"),
        ("vsys", session.vsys),
        ("application", session.application),
        ("rule", session.rule),
        ("service timeout override(index)", f"{session.service_timeout}"),
        ("session to be logged at end", f"{session.log_end}"),
        ("session in session ager", f"{session.in_ager}"),
        ("session updated by HA peer", "False"),
        *_nat_facts(session),
        # "enabled" would say that an application is still being looked for
        ("layer7 processing", "completed"),
        *_offload_facts(session),
        ("longest gap between packets", _seconds(session.longest_gap_ms)),
        ("longest time without refresh", _seconds(session.longest_wait_ms)),
        ("URL filtering enabled", "False"),
        ("session via syn-cookies", f"{session.syn_cookie}"),
        ("session terminated on host", f"{session.is_host}"),
        ("session traverses tunnel", f"{_traverses_tunnel(session)}"),
        ("session terminate tunnel", "False"),
        ("captive portal session", "False"),
        ("ingress interface", session.ingress),
        ("egress interface", session.egress),
        ("session QoS rule", f"{session.qos_rule or 'N/A'} (class {session.qos_class})"),
    ]
    if session.tracker:
        facts.append(("tracker stage firewall", session.tracker))
    # what is noted of a session that lives may still change
    is_over = session.state == "INIT"
    facts.append(("end-reason", (is_over and session.end_reason) or "unknown"))
    return facts


def _traverses_tunnel(session: Session) -> bool:
    return any(name.startswith("tunnel.") for name in (session.ingress, session.egress))


def _nat_facts(session: Session) -> list[tuple[str, str]]:
    source, destination = _translated(session.c2s, session.s2c)
    sides = [*(["source"] if source else []), *(["destination"] if destination else [])]
    facts = [("address/port translation", " + ".join(sides))] if sides else []
    if session.nat_rule:
        facts.append(("nat-rule", f"{session.nat_rule}({session.vsys})"))
    return facts


def _offload_facts(session: Session) -> list[tuple[str, str]]:
    """Why an offloaded session ages although packets flow."""
    if not session.offloaded:
        return []
    facts = [("offload", "Yes")]
    for flow, packets in (("c2s", session.unreported_c2s), ("s2c", session.unreported_s2c)):
        facts.append(
            (f"packets since last report({flow})", f"{packets} of {session.report_packets}")
        )
    return facts


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds // 1000}.{milliseconds % 1000:03d} sec"


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
