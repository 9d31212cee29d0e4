"""Virtual reassembly: what becomes of each fragment, by what a plain reassembler would say."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    PadN,
)
from scapy.packet import Packet as Layers
from scapy.packet import Raw

from native import Engine, Packet, SessionView, Verdict
from tests.support.fragments import Piece, by_mtu, cut, fragment, joined, pieces, read
from tests.support.packets import FAMILIES
from tests.support.translation import (
    AS_IS,
    CLIENT,
    INSIDE,
    NS,
    OUTSIDE,
    OWN,
    SERVER,
    Translation,
    Translator,
    parsed,
    rebuilt,
)

TIMEOUT_S = 30
UNKNOWN_PROTOCOL = 253  # of which no layer 4 is looked at (RFC 3692)
families = pytest.mark.parametrize("family", FAMILIES)


def ip(family: int, src: str | None = None, dst: str | None = None, **fields: object) -> Layers:
    src, dst = src or CLIENT[family], dst or SERVER[family]
    if family == 4:
        return IP(src=src, dst=dst, id=0x1234, ttl=61, tos=0x2C, **fields)
    return IPv6(src=src, dst=dst, hlim=61, tc=0x2C, **fields)


def unknown(family: int, payload: bytes, src: str | None = None) -> bytes:
    number = {"proto": UNKNOWN_PROTOCOL} if family == 4 else {"nh": UNKNOWN_PROTOCOL}
    return bytes(ip(family, src, **number) / Raw(payload))


def udp(family: int, size: int, *, back: bool = False) -> bytes:
    ends = (SERVER[family], CLIENT[family]) if back else (CLIENT[family], SERVER[family])
    ports = (53, 40_000) if back else (40_000, 53)
    payload = bytes(number * 7 % 251 for number in range(size))
    return bytes(ip(family, *ends) / UDP(sport=ports[0], dport=ports[1]) / payload)


class Fragments(Translator):
    """Sessions installed by hand, and what became of each packet by its number."""

    def __init__(self, **sizes: int) -> None:
        super().__init__()
        if sizes:
            self.engine = Engine(hash_key=bytes(16), now_ns=0, **sizes)
            self._configure()
        self.count = 0
        self.verdicts: dict[int, Verdict] = {}
        self.order: list[int] = []

    def send(
        self,
        *packets: bytes,
        port: int = INSIDE,
        translation: Translation = AS_IS,
        answer: bool = True,
        egress: int = 0,
        **spec: object,
    ) -> list[str]:
        """What became of these packets so far: FORWARD, HOST, a drop reason, or "" for nothing."""
        first = self.count
        for data in packets:
            packet = Packet(data, port, self.now_ns, self.count, egress=egress)
            assert self.engine.input([packet]) == 1
            self.count += 1
            if answer:
                self.answer(translation, **spec)
            self.collect()
        return [self.outcome(number) for number in range(first, self.count)]

    def answer(self, translation: Translation = AS_IS, **spec: object) -> None:
        for undecided in self.engine.undecided():
            self.engine.install(undecided.handle, self.spec(undecided, translation, **spec))
        self.collect()

    def collect(self) -> None:
        for verdict in self.engine.verdicts():
            assert verdict.tag not in self.verdicts
            self.verdicts[verdict.tag] = verdict
            self.order.append(verdict.tag)

    def outcome(self, number: int) -> str:
        verdict = self.verdicts.get(number)
        return self.reason(verdict) or verdict.action.name if verdict else ""

    def at(self, seconds: float) -> None:
        self.now_ns = round(seconds * NS)
        self.engine.tick(self.now_ns)
        self.collect()

    def session(self) -> SessionView:
        view = self.engine.session(1)
        assert view is not None
        return view

    def held(self) -> int:
        return self.engine.stats().fragments


# ---- against a plain reassembler -----------------------------------------------------------------


class Sent(NamedTuple):
    datagram: int
    piece: Piece
    after_s: int


class Known:
    """Of a datagram."""

    def __init__(self, now_s: int) -> None:
        self.deadline_s = now_s + TIMEOUT_S
        self.refused = ""
        self.pieces: dict[int, Piece] = {}  # by number of the packet

    def contradicts(self, new: Piece) -> bool:
        have = {at for old in self.pieces.values() for at in span(old)}
        ends = [old.offset + len(old.data) for old in self.pieces.values() if not old.more]
        mine = span(new)
        if have & set(mine):
            return True
        if new.more:
            return any(mine[-1] >= end for end in ends)
        return bool(ends) or any(at > mine[-1] for at in have)

    def is_whole(self) -> bool:
        ends = [old.offset + len(old.data) for old in self.pieces.values() if not old.more]
        return bool(ends) and sum(len(old.data) for old in self.pieces.values()) == ends[0]


def span(piece: Piece) -> range:
    return range(piece.offset, piece.offset + len(piece.data))


class Model:
    def __init__(self) -> None:
        self.now_s = 0
        self.known: dict[int, Known] = {}
        self.outcomes: dict[int, str] = {}

    def expire(self) -> None:
        for name in [name for name, it in self.known.items() if it.deadline_s <= self.now_s]:
            self.decide(self.known.pop(name), "flow_ipfrag_timeout")

    def decide(self, known: Known, outcome: str) -> None:
        self.outcomes |= dict.fromkeys(known.pieces, outcome)
        known.pieces = {}

    def add(self, number: int, sent: Sent) -> None:
        self.now_s += sent.after_s
        self.expire()
        known = self.known.setdefault(sent.datagram, Known(self.now_s))
        if known.refused:
            self.outcomes[number] = known.refused
        elif sent.piece in known.pieces.values():
            self.outcomes[number] = "flow_ipfrag_duplicate"
        elif known.contradicts(sent.piece):
            known.pieces[number] = sent.piece
            known.refused = "flow_ipfrag_teardrop"
            self.decide(known, known.refused)
        else:
            known.pieces[number] = sent.piece
            if known.is_whole():
                self.decide(self.known.pop(sent.datagram), "FORWARD")


def _piece(unit: int, units: int, end: bool, odd: int, variant: bool) -> Piece:
    size = units * 8 - (odd if end else 0)
    filled = bytes(at * 5 + variant & 255 for at in range(unit * 8, unit * 8 + size))
    return Piece(unit * 8, filled, not end)


PIECES = st.builds(
    _piece, st.integers(0, 5), st.integers(1, 3), st.booleans(), st.integers(0, 7), st.booleans()
).filter(lambda piece: piece.offset or piece.more)
STRAY = st.builds(Sent, st.integers(1, 2), PIECES, st.sampled_from([0, 0, 0, 1, 29, 30]))


@st.composite
def _datagrams(draw: st.DrawFn) -> list[Sent]:
    """Whole datagrams in any order, with strangers among them."""
    sent = draw(st.lists(STRAY, max_size=5))
    for datagram in (1, 2, 3):
        payload = bytes(at * 5 & 255 for at in range(draw(st.integers(9, 50))))
        ends = draw(st.sets(st.integers(1, 6).map(lambda unit: unit * 8), min_size=1))
        sent += [
            Sent(datagram, piece, 0)
            for piece in pieces(payload, ends)
            if piece.more or piece.offset
        ]
    return draw(st.permutations(sent))


@families
@given(history=_datagrams())
def test_any_history(family: int, history: list[Sent]) -> None:
    fragments, model, now_s = Fragments(max_sessions=100), Model(), 0
    for number, (datagram, piece, after_s) in enumerate(history):
        now_s += after_s
        fragments.now_ns = now_s * NS
        fragments.send(fragment(unknown(family, b""), piece, datagram))
        model.add(number, history[number])
        assert fragments.held() == sum(len(known.pieces) for known in model.known.values())
    fragments.at(now_s + TIMEOUT_S)
    model.now_s += TIMEOUT_S
    model.expire()
    assert {n: fragments.outcome(n) for n in range(len(history))} == model.outcomes
    assert all(verdict.data is None for verdict in fragments.verdicts.values())
    assert fragments.engine.stats().fragment_bytes == 0


@families
def test_time_is_up_to_the_nanosecond(family: int) -> None:
    first, last = cut(unknown(family, bytes(30)), [16])
    fragments = Fragments()
    fragments.send(first)
    assert fragments.engine.next_timer_ns() == TIMEOUT_S * NS
    fragments.now_ns = TIMEOUT_S * NS - 1
    assert fragments.send(last) == ["FORWARD"]
    fragments.now_ns = 0
    other = Fragments()
    other.send(first)
    other.at(TIMEOUT_S)
    assert other.outcome(0) == "flow_ipfrag_timeout"
    assert other.send(last) == [""]  # of a new datagram


@families
def test_verdicts_come_in_the_order_of_the_fragments(family: int) -> None:
    parts = cut(unknown(family, bytes(range(100))), [16, 40, 64])
    fragments = Fragments()
    assert fragments.send(*parts[::-1]) == ["FORWARD"] * 4
    assert fragments.order == [0, 1, 2, 3]
    assert fragments.engine.counters()["flow_ipfrag_recv"] == 4
    assert fragments.engine.counters()["flow_ipfrag_reass"] == 1


@families
def test_a_session_has_the_packets_there_were_on_the_wire(family: int) -> None:
    parts = by_mtu(udp(family, 5000), 1280)
    fragments = Fragments()
    fragments.send(*parts)
    fragments.send(udp(family, 10))
    session, stats = fragments.session(), fragments.engine.stats()
    assert (session.packets_c2s, session.packets_s2c) == (len(parts) + 1, 0)
    assert session.bytes_c2s == sum(map(len, [*parts, udp(family, 10)]))
    assert (stats.packets, stats.bytes) == (session.packets_c2s, session.bytes_c2s)
    assert fragments.engine.counters()["pkt_sent"] == len(parts) + 1


# ---- what belongs together -----------------------------------------------------------------------

SAME = ip(4, proto=UNKNOWN_PROTOCOL)
ORIGINS = [
    ("another source", ip(4, "10.1.0.6", proto=UNKNOWN_PROTOCOL), 0x1234, INSIDE, 0),
    ("another destination", ip(4, None, "10.2.0.8", proto=UNKNOWN_PROTOCOL), 0x1234, INSIDE, 0),
    ("another protocol", ip(4, proto=UNKNOWN_PROTOCOL + 1), 0x1234, INSIDE, 0),
    ("another identification", SAME, 0x1235, INSIDE, 0),
    ("another port", SAME, 0x1234, OUTSIDE, 0),
    ("another egress", SAME, 0x1234, INSIDE, OUTSIDE),
    ("another family", ip(6, nh=UNKNOWN_PROTOCOL), 0x1234, INSIDE, 0),
]


@pytest.mark.parametrize(
    ("header", "identification", "port", "egress"), [row[1:] for row in ORIGINS],
    ids=[row[0] for row in ORIGINS],
)  # fmt: skip
def test_never_joined(header: Layers, identification: int, port: int, egress: int) -> None:
    first, last = pieces(bytes(40), [16])
    fragments = Fragments()
    assert fragments.send(fragment(bytes(SAME / Raw(b"")), first)) == [""]
    other = fragment(bytes(header), last, identification)
    assert fragments.send(other, port=port, egress=egress) == [""]
    assert fragments.held() == 2


def test_of_ipv6_the_first_fragment_says_the_protocol() -> None:
    """RFC 8200 4.5: the next header values of one packet's fragments may differ."""
    first, last = cut(unknown(6, bytes(40)), [16])
    last = last[:40] + b"\x3b" + last[41:]
    assert Fragments().send(last, first) == ["FORWARD", "FORWARD"]


def test_a_second_fragment_header() -> None:
    inner = bytes(IPv6ExtHdrFragment(nh=UNKNOWN_PROTOCOL, m=1, id=3) / Raw(bytes(32)))
    parts = cut(bytes(ip(6, nh=44) / Raw(inner)), [24])
    fragments = Fragments()
    assert fragments.send(*parts) == ["flow_parse_ip6_ext_hdr"] * 2


# ---- refused -------------------------------------------------------------------------------------


def _options(size: int) -> Layers:
    return IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(size - 4))])


OPTIONS = [("MSS", 1460), ("WScale", 7)]
PADDING = bytes(64)
FIRSTS: list[tuple[str, int, bytes, int]] = [
    ("TCP", 4, bytes(ip(4) / TCP(sport=1, dport=2) / PADDING), 24),
    ("TCP with options", 4, bytes(ip(4) / TCP(sport=1, dport=2, options=OPTIONS) / PADDING), 32),
    ("UDP", 4, bytes(ip(4) / UDP(sport=1, dport=2) / PADDING), 8),
    ("ICMP", 4, bytes(ip(4) / ICMP() / PADDING), 8),
    ("TCP in IPv6", 6, bytes(ip(6) / TCP(sport=1, dport=2) / PADDING), 24),
    ("UDP in IPv6", 6, bytes(ip(6) / UDP(sport=1, dport=2) / PADDING), 8),
    ("ICMPv6", 6, bytes(ip(6) / ICMPv6EchoRequest() / PADDING), 8),
    ("options", 6, bytes(ip(6) / _options(24) / UDP(sport=1, dport=2) / PADDING), 32),
    ("options twice", 6, bytes(ip(6) / _options(8) / _options(16) / UDP() / PADDING), 32),
]  # what a first fragment has to have


@pytest.mark.parametrize("row", FIRSTS, ids=lambda row: row[0])
@pytest.mark.parametrize("order", [1, -1])
def test_tiny(row: tuple[str, int, bytes, int], order: int) -> None:
    _, _, packet, needed = row
    fragments = Fragments()
    if needed > 8:
        parts = cut(packet, [needed - 8])
        assert fragments.send(*parts[::order]) == ["flow_ipfrag_tiny"] * 2
    parts = cut(packet, [needed], 0x4321)
    assert fragments.send(*parts[::order]) == ["FORWARD"] * 2


def test_a_long_datagram_ends_where_the_length_ends() -> None:
    """The total length counts the header (RFC 791), and what is before a fragment (RFC 8200)."""
    for family, longest in ((4, 65535 - 24), (6, 65535 - 16)):
        for over, outcome in ((0, "FORWARD"), (1, "flow_parse_ping_of_death")):
            payload = bytes(longest + over)
            if family == 4:
                header = bytes(IP(src=CLIENT[4], dst=SERVER[4], proto=UNKNOWN_PROTOCOL,
                                  options=b"\1\1\1\0", len=24, ihl=6))[:24]  # fmt: skip
                plain = bytes(IP(src=CLIENT[4], dst=SERVER[4], proto=UNKNOWN_PROTOCOL))
            else:
                header = bytes(ip(6) / IPv6ExtHdrHopByHop(nh=44, options=PadN(optdata=bytes(12))))
                plain = bytes(ip(6, nh=UNKNOWN_PROTOCOL))
            first, *others = pieces(payload, range(0, 65535, 1400))
            packets = [fragment(plain, piece) for piece in others]
            if family == 4:
                opening = fragment(header, first)
            else:
                field = bytes([UNKNOWN_PROTOCOL, 0]) + (1).to_bytes(2) + (0x1234).to_bytes(4)
                size = (len(header) - 40 + 8 + len(first.data)).to_bytes(2)
                opening = header[:4] + size + header[6:] + field + first.data
            fragments = Fragments()
            assert set(fragments.send(*packets[:-1], opening, packets[-1])) == {outcome}


def test_a_wrong_checksum_of_the_whole() -> None:
    for family in FAMILIES:
        packet = bytearray(udp(family, 3000))
        packet[-1] ^= 1
        fragments = Fragments()
        parts = by_mtu(bytes(packet), 1280)
        assert set(fragments.send(*parts)) == {"flow_parse_l4_cksm"}
        assert fragments.engine.counters()["flow_parse_l4_cksm"] == len(parts)


# ---- translated ----------------------------------------------------------------------------------

PUBLIC = {4: "198.51.100.7", 6: "2001:db8:2:ffff::7"}
REAL = {4: "10.2.7.77", 6: "2001:db8:2::4d4d"}
TRANSLATIONS: dict[str, Callable[[int], Translation]] = {
    "source": lambda family: Translation(PUBLIC[family], 61_234),
    "destination": lambda family: Translation(None, None, REAL[family], 8080),
    "both": lambda family: Translation(PUBLIC[family], 2000, REAL[family], 8080),
}


def expected(family: int, packet: bytes, src: str, sport: int, dst: str, dport: int) -> bytes:
    layers = parsed(packet)
    layers.src, layers.dst = src, dst
    layers[UDP].sport, layers[UDP].dport = sport, dport
    return rebuilt(layers)


@families
@pytest.mark.parametrize("name", TRANSLATIONS)
@given(data=st.data())
def test_translated_both_ways(name: str, family: int, data: st.DataObject) -> None:
    """Each fragment has exactly the bytes it would have, had the translated packet been cut."""
    translation = TRANSLATIONS[name](family)
    outer = (
        translation.source or CLIENT[family], translation.sport or 40_000,
        translation.destination or SERVER[family], translation.dport or 53,
    )  # fmt: skip
    there, back = udp(family, 700), udp(family, 900, back=True)
    answer = expected(family, back, *outer[2:], *outer[:2])
    fragments = Fragments(max_sessions=100)
    for sent, right, port in (
        (there, expected(family, there, *outer), INSIDE),
        (answer, back, OUTSIDE),
    ):
        ends = data.draw(
            st.sets(st.integers(1, 80).map(lambda unit: unit * 8), min_size=1, max_size=5)
        )
        order = data.draw(st.permutations(range(len(cut(sent, ends)))))
        packets, whole = cut(sent, ends), cut(right, ends)
        first = fragments.count
        fragments.send(*(packets[at] for at in order), port=port, translation=translation)
        for number, at in enumerate(order, first):
            assert fragments.outcome(number) == "FORWARD"
            assert fragments.verdicts[number].data == whole[at]


@families
def test_marked(family: int) -> None:
    """The DSCP is the session's, congestion is each fragment's own (RFC 3168 5.3)."""
    parts = cut(udp(family, 300), [64, 128])
    congested = parsed(parts[1])
    if family == 4:
        congested.tos |= 3
        congested = rebuilt(congested)
    else:
        congested.tc |= 3
        congested = bytes(congested)
    fragments = Fragments()
    fragments.send(parts[0], congested, parts[2], dscp=(46, None))
    fields = [parsed(fragments.verdicts[n].data or b"") for n in range(3)]
    assert [it.tos if family == 4 else it.tc for it in fields] == [46 << 2, 46 << 2 | 3, 46 << 2]
    leaving = [fragments.verdicts[n].data or b"" for n in range(3)]
    assert joined(leaving) == joined(parts)


def test_a_large_packet_of_small_ones_and_of_jumbo_frames() -> None:
    for family in FAMILIES:
        for mtu in (576 if family == 4 else 1280, 1500, 9000):
            packet = udp(family, 65_000)
            translation = TRANSLATIONS["source"](family)
            right = expected(family, packet, PUBLIC[family], 61_234, SERVER[family], 53)
            fragments = Fragments()
            outcomes = fragments.send(*by_mtu(packet, mtu), translation=translation)
            leaving = [fragments.verdicts[n].data or b"" for n in range(len(outcomes))]
            assert leaving == by_mtu(right, mtu)


# ---- waiting, denied, to the host, bridged -------------------------------------------------------


@families
def test_behind_an_undecided_packet(family: int) -> None:
    fragments = Fragments()
    parts = cut(udp(family, 100), [64])
    fragments.send(udp(family, 1), *parts, udp(family, 2), answer=False)
    again = [fragment(udp(family, 100), read(part), 7) for part in parts]
    fragments.send(*again[::-1], answer=False)
    assert fragments.order == []
    fragments.answer(TRANSLATIONS["source"](family))
    assert fragments.order == [0, 1, 2, 3, 4, 5]
    assert {fragments.outcome(n) for n in range(6)} == {"FORWARD"}
    assert all(fragments.verdicts[n].data for n in range(6))


@families
def test_nobody_answers(family: int) -> None:
    fragments = Fragments()
    fragments.send(*cut(udp(family, 100), [64]), answer=False)
    assert fragments.held() == 2
    fragments.at(1)
    assert [fragments.outcome(n) for n in range(2)] == ["flow_undecided_timeout"] * 2
    assert fragments.held() == 0


@families
def test_denied(family: int) -> None:
    fragments = Fragments()
    parts = cut(udp(family, 100), [64])
    fragments.send(*parts, action="deny")
    fragments.send(*parts[::-1])
    outcomes = [fragments.outcome(n) for n in range(4)]
    assert outcomes == ["flow_policy_deny"] * 2 + ["flow_discard_drop"] * 2
    assert fragments.session().packets_c2s == 4
    assert fragments.session().bytes_c2s == 2 * sum(map(len, parts))
    assert fragments.engine.counters()["flow_policy_deny"] == 2


@families
def test_for_the_firewall_itself(family: int) -> None:
    fragments = Fragments()
    own = OWN[family][0]
    packet = bytes(ip(family, None, own) / UDP(sport=9, dport=161) / bytes(200))
    assert fragments.send(*cut(packet, [64]), is_host=True) == ["HOST"] * 2


@families
def test_between_bridged_ports(family: int) -> None:
    fragments = Fragments()
    fragments.set_ports(mode="virtual-wire")
    parts = cut(udp(family, 100), [64])
    assert fragments.send(*parts, egress=OUTSIDE) == ["FORWARD"] * 2
    assert {fragments.verdicts[n].port for n in range(2)} == {OUTSIDE}


# ---- limits --------------------------------------------------------------------------------------

ROOM = 64


SPREADS: dict[str, Callable[[int], dict[int, str]]] = {
    "one source": lambda _: {4: "172.16.0.9", 6: "2001:db8:9::9"},
    "one network": lambda n: {4: f"172.16.0.{20 + n % 200}", 6: f"2001:db8:9:{n % 200}::1"},
    "the same network": lambda _: {4: "10.1.0.77", 6: "2001:db8:1::77"},
    "many networks": lambda n: {4: f"172.16.{9 + n % 90}.1", 6: f"2001:db8:{9 + n % 90}::1"},
}


def _flood(family: int, spread: str) -> Iterator[bytes]:
    """First fragments of datagrams that never get whole."""
    for number in range(2000):
        packet = unknown(family, bytes(40), SPREADS[spread](number)[family])
        yield fragment(packet, Piece(0, bytes(16), True), number)


@families
@pytest.mark.parametrize("spread", SPREADS)
def test_a_flood_takes_room_from_itself(spread: str, family: int) -> None:
    fragments = Fragments(max_fragments=ROOM, max_sessions=100)
    first, middle, last = cut(udp(family, 200), [64, 128])
    burst = list(_flood(family, spread))
    before = 10 if spread == "many networks" else 1900  # what is left then is nobody's share
    fragments.send(first)
    for number, packet in enumerate(burst):
        fragments.send(packet)
        assert fragments.held() <= ROOM
        if number == before // 2:
            assert fragments.send(middle) == [""]
        if number == before:
            assert fragments.send(last) == ["FORWARD"]
    outcomes = Counter(verdict for verdict in map(fragments.outcome, range(fragments.count)))
    assert outcomes == {"FORWARD": 3, "": ROOM, "flow_ipfrag_limit": len(burst) - ROOM}


def test_tombstones_are_bounded_too() -> None:
    fragments = Fragments(max_fragments=ROOM)
    packet = bytes(ip(4) / TCP(sport=1, dport=2) / PADDING)
    for number in range(4 * ROOM):
        piece = Piece(0, bytes(8), True)
        assert fragments.send(fragment(packet, piece, number)) == ["flow_ipfrag_tiny"]
    late = fragment(packet, Piece(64, bytes(8), False), 4 * ROOM - 1)
    assert fragments.send(late) == ["flow_ipfrag_tiny"]
    assert fragments.send(fragment(packet, Piece(64, bytes(8), False), 0)) == [""]


def test_so_many_fragments_a_datagram_may_have() -> None:
    fragments = Fragments()
    parts = cut(unknown(4, bytes(8 * 300)), range(0, 2400, 8))
    assert set(fragments.send(*parts)) == {"flow_ipfrag_limit"}
    assert fragments.send(*parts[:3])[0] == "flow_ipfrag_limit"  # until its time is over


def test_large_buffers_are_few() -> None:
    """Jumbo fragments push out the oldest ones of their own network, and nobody's small ones."""
    fragments = Fragments()
    small = cut(udp(4, 200), [64])
    fragments.send(small[0])
    jumbo = unknown(4, bytes(9000))
    parts = [fragment(jumbo, Piece(0, bytes(8000), True), number) for number in range(80)]
    fragments.send(*parts)
    outcomes = [fragments.outcome(n + 1) for n in range(80)]
    assert outcomes == ["flow_ipfrag_limit"] * 16 + [""] * 64
    assert fragments.send(small[1]) == ["FORWARD"]


def test_every_verdict_finds_room() -> None:
    """Fragments may wait in any number behind a list of verdicts nobody takes."""
    fragments = Fragments(max_held=4, max_undecided=4)
    parts = [fragment(unknown(4, b""), Piece(0, bytes(16), True), number) for number in range(5000)]
    burst = [Packet(part, INSIDE, 0, number) for number, part in enumerate(parts)]
    for at in range(0, len(burst), 250):
        assert fragments.engine.input(burst[at : at + 250]) == 250
    fragments.engine.tick(TIMEOUT_S * NS)
    assert fragments.engine.input(burst[:1]) == 0
    assert {fragments.reason(verdict) for verdict in fragments.engine.verdicts()} == {
        "flow_ipfrag_timeout"
    }
    assert fragments.engine.input(burst[:1]) == 1
