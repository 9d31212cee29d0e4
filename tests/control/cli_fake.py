"""A firewall for the command line's tests: what Management promises, from plain lists."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from control.cli.answers import Refusal
from control.cli.operations import Operations
from control.config.load import UnreadableError
from control.management import (
    CommitError,
    Committed,
    DataplaneUnavailable,
    InterfaceStatus,
    Loaded,
    Neighbor,
    QosClassStatus,
)
from dataplane.messages import (
    Block,
    BlockPage,
    ClearBlocks,
    ClearHits,
    ClearSession,
    ClearSessions,
    Counter,
    Counters,
    Done,
    DosFigures,
    Failed,
    FindRoute,
    Flow,
    FoundRoute,
    GetBlocks,
    GetCounters,
    GetDosRule,
    GetHits,
    GetNatPools,
    GetSession,
    GetSessions,
    GetStatus,
    GetZoneProtection,
    Hit,
    Hits,
    Match,
    Matched,
    NatPool,
    NatPools,
    Reply,
    Request,
    Session,
    SessionDetail,
    SessionFilter,
    SessionPage,
    SetOffload,
    SetPacketThreats,
    ZoneFigures,
    ZoneProtections,
)
from dataplane.snapshot import NatRule, Port, Route, SecurityRule, Snapshot, VirtualRouter
from tests.support.fake_dataplane import STATUS

START_S = 1767261600  # Thu Jan  1 10:00:00 2026 UTC
START_NS = START_S * 10**9

PING = Session(
    id=42,
    vsys="vsys1",
    state="ACTIVE",
    type="FLOW",
    application="ping",
    protocol=1,
    c2s=Flow("192.0.2.20", "203.0.113.1", 7, 19, "trust"),
    s2c=Flow("203.0.113.1", "192.0.2.20", 19, 7, "untrust"),
    rule="r-ping",
    action="allow",
    start_ns=START_NS,
    last_ns=START_NS,
    end_ns=START_NS + 6 * 10**9,
    now_ns=START_NS + 3 * 10**9,
    timeout_s=6,
    bytes_c2s=74,
    bytes_s2c=0,
    packets_c2s=1,
    packets_s2c=0,
    ingress="ethernet1/1",
    egress="ethernet1/3",
    in_ager=True,
    log_start=False,
    log_end=True,
    tracker="",
    end_reason="unknown",
    service_timeout=False,
    offloaded=False,
    unreported_c2s=0,
    unreported_s2c=0,
    report_packets=0,
    longest_gap_ms=0,
    longest_wait_ms=0,
)

COUNTERS = (
    Counter("pkt_recv", 120, "info", "packet", "pktproc", "Packets received"),
    Counter("pkt_sent", 0, "info", "packet", "pktproc", "Packets transmitted"),
    Counter(
        "flow_rcv_dot1q_tag_err",
        3,
        "drop",
        "flow",
        "parse",
        "Packets dropped: 802.1q tag not configured",
    ),
)

SNAPSHOT = Snapshot(
    ports=(
        Port("ethernet1/1", "eth1", "trust", ("192.0.2.1/24",), True, "default"),
        Port("ethernet1/2", "eth2", "untrust", ("198.51.100.2/24",), True, "default"),
    ),
    rules=(SecurityRule("r-ping", "allow"), SecurityRule("two words", "deny")),
    intrazone_default=SecurityRule("intrazone-default", "allow", rule_type="intrazone"),
    interzone_default=SecurityRule("interzone-default", "deny", rule_type="interzone"),
    timeouts_s=STATUS.timeouts_s,
    virtual_routers=(VirtualRouter("default", 254),),
    nat_rules=(NatRule("n-out"), NatRule("n-out", mirrors=True)),
)

CONFIG = ["set deviceconfig system hostname fw1", "set zone trust"]
WARNING = "new.set:2: warning: zone trust: has no interface"
ERROR = "bad.set:1: error: zone: unknown element"


class FakeManagement:
    def __init__(self, log: Path = Path("/nonexistent/traffic.log")) -> None:
        self.hostname = "fw1"
        self.version = "0.1.0"
        self.started_ns = START_NS - 93784 * 10**9
        self.is_down = False
        self.page = 2  # sessions
        self.sessions: list[Session] = []
        self.counters: tuple[Counter, ...] = COUNTERS
        self.counters_now_ns = 10 * 10**9
        self.status = STATUS
        self.compiled = SNAPSHOT
        self.ports: list[InterfaceStatus] = []
        self.fib: tuple[Route, ...] = ()
        self.ages_s: dict[str, int] = {}
        self.table: list[Neighbor] = []
        self.candidate = CONFIG
        self.running = CONFIG
        self.is_bad = False  # the candidate
        self.files = {
            "new.set": [*CONFIG, "set zone untrust"],
            "bad.set": CONFIG[:1],
        }
        self.is_committing = False
        self.unreachable: tuple[str, ...] = ()
        self.classes: list[QosClassStatus] = []
        self.frames: dict[str, int] = {}
        self.hits: dict[str, list[Hit]] = {}
        self.pools: tuple[NatPool, ...] = ()
        self.matched: tuple[str, ...] = ()
        self.found: Route | None = None
        self.zone_figures: tuple[ZoneFigures, ...] = ()
        self.dos_figures = DosFigures({}, 3, 2, 40, 50, 60)
        self.blocks: list[Block] = []
        self.asked: list[Request] = []
        self.answer: Callable[[Request], Reply | None] = lambda request: None  # instead of ours
        self._log = log

    def now_ns(self) -> int:
        return START_NS

    async def ask(self, request: Request) -> Reply:
        self.asked.append(request)
        if self.is_down:
            raise DataplaneUnavailable("the dataplane is not running; it is being restarted")
        answer = self.answer(request)
        return answer if answer is not None else self._answer(request)

    def _answer(self, request: Request) -> Reply:
        match request:
            case GetSessions(cursor, wanted):
                found = [one for one in self.sessions if matches(one, wanted)]
                end = cursor + self.page
                return SessionPage(tuple(found[cursor:end]), end if end < len(found) else 0)
            case GetSession(number):
                by_id = {session.id: session for session in self.sessions}
                return SessionDetail(by_id.get(number))
            case ClearSession(number):
                kept = [session for session in self.sessions if session.id != number]
                done = Done(len(self.sessions) - len(kept))
                self.sessions = kept
                return done
            case ClearSessions(cursor, wanted):
                ended = [one for one in self.sessions if matches(one, wanted)][: self.page]
                self.sessions = [one for one in self.sessions if one not in ended]
                return Done(len(ended), cursor + 1 if len(ended) == self.page else 0)
            case GetCounters():
                return Counters(self.counters, self.counters_now_ns)
            case GetStatus():
                return self.status
            case GetHits(rulebase):
                return Hits(tuple(self.hits.get(rulebase, [])))
            case ClearHits():
                return Done()
            case GetNatPools():
                return NatPools(self.pools)
            case Match():
                return Matched(self.matched)
            case FindRoute():
                return FoundRoute(self.found)
            case SetOffload(enabled):
                is_on = enabled and self.status.platform != "software"
                self.status = replace(self.status, offload=is_on)
                return Done()
            case SetPacketThreats(enabled):
                self.status = replace(self.status, packet_threats=enabled)
                return Done()
            case GetZoneProtection(zone):
                found_zones = (one for one in self.zone_figures if zone in ("", one.zone))
                return ZoneProtections(tuple(found_zones))
            case GetDosRule():
                return self.dos_figures
            case GetBlocks(cursor, zone):
                kept_blocks = [one for one in self.blocks if zone in ("", one.zone)]
                end = cursor + self.page
                more = end if end < len(kept_blocks) else 0
                return BlockPage(tuple(kept_blocks[cursor:end]), more)
            case ClearBlocks(_, zone, source):
                gone = [
                    one
                    for one in self.blocks
                    if zone in ("", one.zone) and source in ("", one.source)
                ][: self.page]
                self.blocks = [one for one in self.blocks if one not in gone]
                return Done(len(gone), int(len(gone) == self.page))
            case _:
                return Failed("not for administrators")

    def snapshot(self) -> Snapshot:
        return self.compiled

    def config_lines(self) -> list[str]:
        return self.running

    def candidate_lines(self) -> list[str]:
        return self.candidate

    def has_pending_changes(self) -> bool:
        return self.candidate != self.running

    def config_files(self) -> list[str]:
        return ["running-config", *self.files]

    async def load_config(self, name: str) -> Loaded:
        if name == "running-config":
            self.revert_config()
            return Loaded("fw.set", 0, 0)
        if name not in self.files:
            raise UnreadableError(f"{name}: cannot be read: No such file or directory")
        self.candidate = self.files[name]
        self.is_bad = name == "bad.set"
        return Loaded(name, int(self.is_bad), int(not self.is_bad))

    def revert_config(self) -> None:
        self.candidate, self.is_bad = self.running, False

    async def save_config(self, name: str) -> tuple[Path, Path | None]:
        if self.is_bad:
            raise CommitError([ERROR])
        if name == "full.set":
            raise OSError(errno.ENOSPC, "No space left on device")
        if name not in ("old.set", "free.set"):
            raise FileExistsError(errno.EEXIST, "something else is there", name)
        return Path(name), Path("old.set.previous") if name == "old.set" else None

    async def validate_config(self) -> tuple[str, ...]:
        if self.is_bad:
            raise CommitError([ERROR])
        return (WARNING,)

    async def commit(self, progress: Callable[[str], None]) -> Committed:
        if self.is_committing:
            raise CommitError(["Another commit is in progress. Please try again later"])
        progress("checking the configuration")
        if self.is_bad:
            raise CommitError([ERROR, ERROR.replace(":1:", ":2:")])
        progress("telling the dataplane")
        self.running = self.candidate
        return Committed((WARNING,), 1.26)

    def interfaces(self) -> list[InterfaceStatus]:
        return self.ports

    def routes(self) -> tuple[Route, ...]:
        return self.fib

    def route_ages_s(self) -> dict[str, int]:
        return self.ages_s

    def neighbors(self) -> list[Neighbor]:
        return self.table

    def unreachable_pbf(self) -> tuple[str, ...]:
        return self.unreachable

    async def qos_classes(self, port: str) -> list[QosClassStatus]:
        return self.classes

    async def refused_frames(self) -> dict[str, int]:
        return self.frames

    def traffic_log(self) -> Path:
        return self._log

    def threat_log(self) -> Path:
        return self._log.with_name("threat.log")


def matches(session: Session, wanted: SessionFilter) -> bool:
    source = session.c2s.source != session.s2c.destination
    destination = session.c2s.destination != session.s2c.source
    nat = {(False, False): "none", (True, False): "source", (False, True): "destination"}
    facts = SessionFilter(
        source=session.c2s.source,
        destination=session.c2s.destination,
        source_port=session.c2s.sport,
        destination_port=session.c2s.dport,
        protocol=session.protocol,
        from_zone=session.c2s.zone,
        to_zone=session.s2c.zone,
        state=session.state.lower(),
        type={"FLOW": "flow", "PRED": "predict"}[session.type],
        rule=session.rule,
        application=session.application,
        nat_rule=session.nat_rule,
        nat=nat.get((source, destination), "both"),
    )
    return all(
        getattr(wanted, field) in (None, getattr(facts, field))
        for field in SessionFilter.__struct_fields__
    )


def pings(count: int) -> list[Session]:
    return [replace(PING, id=number) for number in range(1, count + 1)]


def example(syntax: str) -> str:
    """A line that is the command, with a value for each of its arguments."""
    values = {"<ip>": "192.0.2.1", "<1-4294967295>": "1"}
    words = (word.split("|")[0] for word in syntax.split())
    return " ".join(values.get(word, "x") if word.startswith("<") else word for word in words)


def chunks(operations: Operations, line: str) -> list[str]:
    async def collect() -> list[str]:
        return [chunk async for chunk in operations.run(line)]

    return asyncio.run(collect())


def run(firewall: FakeManagement, line: str) -> str:
    return "".join(chunks(Operations(firewall), line))


def refusal(firewall: FakeManagement, line: str) -> str:
    (chunk,) = chunks(Operations(firewall), line)
    assert isinstance(chunk, Refusal)
    return chunk
