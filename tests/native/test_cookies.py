"""SYN cookies: which ACKs are one, and connections that begin with one between ends that check all.

What the firewall says of a server it does not know yet, and translates afterwards, is in the head
of native/src/cookie.c.
"""

import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from dataplane.snapshot import FloodLimits, SecurityRule, Snapshot, Zone, ZoneProtection
from tests.support.packets import (
    ALLOW,
    CLIENT,
    CLIENT_ISN,
    DMZ,
    FAMILIES,
    OWN,
    SERVER,
    TRUST,
    UNTRUST,
    Firewall,
    icmp_error,
    snapshot,
    tcp,
)
from tests.support.tcp_ends import (
    ACK,
    FIN,
    PSH,
    RST,
    SYN,
    End,
    Offer,
    Segment,
    Way,
    decode,
    encode,
    signed,
)

SIZES = (88, 536, 1220, 1360, 1400, 1440, 1460, 8940)  # a cookie can say
FULL = Offer(1460, 7, True, True)
SERVER_ISN = 0x55667788
WORDS = 1 << 32


def protected(rule: SecurityRule = ALLOW, *zones: str, checks: tuple[str, ...] = ()) -> Snapshot:
    floods = {"tcp_syn": FloodLimits(activate=0, maximal=10**6, alarm=10**6, syn_cookies=True)}
    profile = ZoneProtection("cookies", floods=floods, checks=checks)
    return replace(snapshot(rule), zones=tuple(Zone(name, profile) for name in zones or ("trust",)))


def way(family: int = 4, sport: int = 40001) -> Way:
    return Way(CLIENT[family], sport, SERVER[family], 80)


class Opening:
    """A client that has been answered with a cookie."""

    def __init__(
        self, offer: Offer = FULL, family: int = 4, firewall: Firewall | None = None
    ) -> None:
        self.firewall = firewall or Firewall(protected())
        self.way, self.offer = way(family), offer
        stamps = (1000, 0) if offer.stamps else None
        syn = Segment(SYN, CLIENT_ISN, 0, 64240, offer=offer, stamps=stamps)
        answer = self.firewall.send(encode(self.way, syn))
        assert answer.what == "consumed"
        ((port, data),) = answer.emitted
        back, self.cookie = decode(data)
        assert (port, back) == (TRUST, self.way.back())

    def ack(self, flags: int = ACK, seq: int = CLIENT_ISN + 1, **changed: int) -> bytes:
        told = self.cookie.stamps
        stamps = None if told is None else (1001, told[0])
        ack = (self.cookie.seq + 1) % WORDS
        segment = Segment(flags, seq, ack, 500, stamps=stamps)
        return encode(self.way, segment._replace(**changed))

    def open(self) -> Segment:
        """The SYN the server gets."""
        answer = self.firewall.send(self.ack())
        assert (answer.what, answer.port) == ("forward", UNTRUST)
        assert answer.data is not None
        to, syn = decode(answer.data)
        assert to == self.way
        return syn

    def answer(self, offer: Offer | None = None) -> tuple[Segment, Segment]:
        """The server's SYN-ACK: what the client gets, and what the server gets at once."""
        offer = self.offer if offer is None else offer
        stamps = (7000, 1001) if offer.stamps and self.offer.stamps else None
        syn_ack = Segment(SYN | ACK, SERVER_ISN, CLIENT_ISN + 1, 65160, offer=offer, stamps=stamps)
        answer = self.firewall.send(encode(self.way.back(), syn_ack), UNTRUST)
        assert (answer.what, answer.port) == ("forward", TRUST)
        ((port, data),) = answer.emitted
        assert port == UNTRUST
        assert answer.data is not None
        back, update = decode(answer.data)
        there, ack = decode(data)
        assert (back, there) == (self.way.back(), self.way)
        return update, ack

    def send(self, segment: Segment, *, back: bool = False) -> Segment | str:
        port, sent = (UNTRUST, self.way.back()) if back else (TRUST, self.way)
        answer = self.firewall.send(encode(sent, segment), port)
        if answer.what != "forward":
            return answer.what
        return segment if answer.data is None else decode(answer.data)[1]


# ---- the cookie ----------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("stamps", [False, True])
@pytest.mark.parametrize("sack", [False, True])
@pytest.mark.parametrize("scale", [None, *range(15)])
def test_what_a_client_offers_comes_back(
    family: int, stamps: bool, sack: bool, scale: int | None
) -> None:
    for mss in SIZES if scale in (None, 7) else (1460,):
        opening = Opening(Offer(mss, scale, sack, stamps), family)
        told = opening.cookie
        assert (told.flags, told.ack, told.window) == (SYN | ACK, CLIENT_ISN + 1, 0)
        own = 1460 if family == 4 else 1440
        assert told.offer == Offer(own, None if scale is None else 7, sack, stamps)
        syn = opening.open()
        assert (syn.flags, syn.seq, syn.ack) == (SYN, CLIENT_ISN, 0)
        assert syn.offer == opening.offer
        assert syn.window == min(500 << (scale or 0), 65535)
        assert syn.stamps == ((1001, 0) if stamps else None)


@pytest.mark.parametrize(
    ("offered", "family", "said"),
    [
        (None, 4, 536),
        (None, 6, 1220),
        (40, 4, 88),
        (1459, 4, 1440),
        (1500, 4, 1460),
        (65535, 6, 8940),
    ],
)
def test_an_mss_is_rounded_down(offered: int | None, family: int, said: int) -> None:
    offer = Opening(Offer(offered, 7, True, True), family).open().offer
    assert offer is not None
    assert offer.mss == said


def test_nothing_is_kept_before_the_ack() -> None:
    firewall = Firewall(protected())
    for sport in range(1, 2000):
        syn = Segment(SYN, sport * 7919, 0, 1000, offer=FULL, stamps=(1, 0))
        assert firewall.send(encode(way(sport=sport), syn)).what == "consumed"
    stats = firewall.engine.native.stats()
    assert (stats.allocated, stats.installed, stats.undecided) == (0, 0, 0)
    counters = firewall.counters()
    assert counters["flow_dos_syncookie_sent"] == 1999
    assert "flow_undecided" not in counters


def flipped(packet: bytes) -> Iterator[bytes]:
    """Every bit of ports, numbers and options' timestamp echo, one after the other."""
    sent, segment = decode(packet)
    for bit in range(32):
        if bit:  # the number before is a probe's
            yield encode(sent, segment._replace(seq=segment.seq ^ 1 << bit))
        yield encode(sent, segment._replace(ack=segment.ack ^ 1 << bit))
        if segment.stamps:
            value, echo = segment.stamps
            yield encode(sent, segment._replace(stamps=(value, echo ^ 1 << bit)))
    for bit in range(16):
        yield encode(sent._replace(sport=(sent.sport ^ 1 << bit) or 1), segment)
        yield encode(sent._replace(dport=(sent.dport ^ 1 << bit) or 1), segment)
    if segment.stamps:
        yield encode(sent, segment._replace(stamps=None))


@pytest.mark.parametrize("stamps", [False, True])
def test_another_ack_is_a_segment_without_a_session(stamps: bool) -> None:
    opening = Opening(FULL._replace(stamps=stamps))
    firewall = opening.firewall
    bad = [
        *flipped(opening.ack()),
        opening.ack(seq=CLIENT_ISN + 2),
        opening.ack(seq=CLIENT_ISN - 1),
    ]
    for packet in bad:
        assert firewall.send(packet).what == "flow_tcp_non_syn_drop"
    assert firewall.counters()["flow_dos_syncookie_ack_err"] == len(bad)
    for flags in (SYN | ACK, RST | ACK, RST):  # never an answer to a cookie
        assert firewall.send(opening.ack(flags)).what == "flow_tcp_non_syn_drop"
    assert firewall.send(opening.ack(), DMZ).what != "forward"  # another zone
    assert firewall.engine.native.stats().installed == 0
    assert opening.open().flags == SYN


@pytest.mark.parametrize("stamps", [False, True])
@pytest.mark.parametrize(("flags", "seq"), [(ACK, 1), (ACK, 0), (ACK | PSH, 1), (FIN | ACK, 1)])
def test_a_probe_data_and_a_fin_prove_as_much(stamps: bool, flags: int, seq: int) -> None:
    opening = Opening(FULL._replace(stamps=stamps))
    payload = b"data" if flags & PSH else b""
    _, segment = decode(opening.ack(flags, CLIENT_ISN + seq))
    syn = opening.send(segment._replace(payload=payload))
    assert isinstance(syn, Segment)
    assert (syn.flags, syn.seq, syn.payload) == (SYN, CLIENT_ISN, b"")


@pytest.mark.parametrize(("stamps", "holds_s", "ends_s"), [(False, 68, 138), (True, 136, 138)])
def test_a_cookie_grows_old(stamps: bool, holds_s: int, ends_s: int) -> None:
    for later, becomes in ((holds_s, "forward"), (ends_s, "flow_tcp_non_syn_drop")):
        opening = Opening(FULL._replace(stamps=stamps))
        assert opening.firewall.send(opening.ack(), at_s=later).what == becomes


def test_each_start_has_cookies_of_its_own() -> None:
    one = Opening()
    other = Opening(firewall=Firewall(protected(), start_s=0))
    assert other.cookie == one.cookie  # the same secret
    again = Opening(firewall=Firewall(protected(), start_s=200))
    assert again.cookie.seq != one.cookie.seq


def test_no_cookie_for_the_firewall_itself_nor_for_many() -> None:
    firewall = Firewall(protected())
    for dst in (OWN[4], "224.0.0.5"):
        assert firewall.send(tcp("S", dst=dst)).emitted == ()
    assert "flow_dos_syncookie_sent" not in firewall.counters()


def test_timestamps_that_are_taken_away_are_not_offered() -> None:
    firewall = Firewall(protected(ALLOW, "trust", checks=("strip_timestamp",)))
    told = Opening(firewall=firewall).cookie
    assert told.offer == Offer(1460, 7, True, False)


# ---- until the server has answered ---------------------------------------------------------------


def test_whatever_the_client_sends_is_the_syn_again() -> None:
    opening = Opening()
    first = opening.open()
    for flags, seq, payload in (
        (ACK, 1, b""),
        (ACK | PSH, 1, b"x"),
        (ACK, 0, b""),
        (FIN | ACK, 2, b""),
    ):
        _, segment = decode(opening.ack(flags, CLIENT_ISN + seq))
        again = opening.send(segment._replace(payload=payload))
        assert again == first
    late = Segment(SYN, CLIENT_ISN, 0, 64240, offer=FULL, stamps=(1000, 0))
    assert opening.send(late) == "flow_dos_syncookie_wait"
    assert opening.firewall.engine.native.stats().installed == 1


def test_a_reset_of_the_client_ends_it() -> None:
    opening = Opening()
    opening.open()
    reset = opening.send(Segment(RST | ACK, CLIENT_ISN + 1, opening.cookie.seq + 1, 0))
    assert isinstance(reset, Segment)
    assert (reset.flags, reset.seq, reset.ack) == (RST, CLIENT_ISN + 1, 0)
    assert opening.firewall.session().end_reason == "tcp-rst-from-client"
    assert opening.firewall.send(opening.ack()).what == "flow_dos_syncookie_wait"
    late = Segment(SYN | ACK, SERVER_ISN, CLIENT_ISN + 1, 65160, offer=FULL, stamps=(7000, 1001))
    assert opening.send(late, back=True) == "flow_dos_syncookie_wait"


def test_a_server_that_says_no() -> None:
    opening = Opening()
    opening.open()
    reset = opening.send(Segment(RST | ACK, 0, CLIENT_ISN + 1, 0), back=True)
    assert isinstance(reset, Segment)
    assert (reset.flags, reset.seq) == (RST | ACK, (opening.cookie.seq + 1) % WORDS)
    assert reset.ack == CLIENT_ISN + 1
    assert opening.firewall.session().end_reason == "tcp-rst-from-server"


@pytest.mark.parametrize(
    ("flags", "ack"),
    [
        (SYN | ACK, CLIENT_ISN + 2),
        (SYN | ACK, CLIENT_ISN),
        (SYN, 0),
        (ACK, CLIENT_ISN + 1),
        (FIN | ACK, CLIENT_ISN + 1),
    ],
)
def test_what_is_no_answer_of_the_server(flags: int, ack: int) -> None:
    opening = Opening()
    opening.open()
    said = opening.send(Segment(flags, SERVER_ISN, ack, 1000), back=True)
    assert said == "flow_dos_syncookie_wait"
    opening.answer()


@pytest.mark.parametrize("is_allowed", [False, True])
def test_a_challenge_is_answered_as_the_client_would(is_allowed: bool) -> None:
    configuration = replace(protected(), tcp_allow_challenge_ack=is_allowed)
    opening = Opening(firewall=Firewall(configuration))
    opening.open()
    challenge = Segment(ACK, 0x1111, 0x2222, 1000)
    answer = opening.firewall.send(encode(opening.way.back(), challenge), UNTRUST)
    assert answer.what == "flow_dos_syncookie_wait"
    resets = [decode(data) for port, data in answer.emitted if port == UNTRUST]
    expected = [(opening.way, Segment(RST, 0x2222, 0, 0))]
    assert resets == (expected if is_allowed else [])


def test_a_silent_server() -> None:
    """The session ends as any other; the client's next probe opens another as long as it may."""
    opening = Opening()
    opening.open()
    opening.firewall.tick(6)
    assert opening.firewall.session().end_reason == "aged-out"
    assert opening.firewall.send(opening.ack(), at_s=7).session == 2


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("stamps", [False, True])
def test_a_client_that_waits_in_silence_is_probed(family: int, stamps: bool) -> None:
    """One whose server speaks first has nothing to send, and would wait for ever for a lost SYN."""
    opening = Opening(FULL._replace(stamps=stamps), family)
    first, told = opening.open(), opening.cookie
    echo = None if told.stamps is None else (told.stamps[0], 1001)
    probe = Segment(ACK, told.seq, CLIENT_ISN + 1, 0, stamps=echo)
    for number in range(1, 5):  # once a second, and a tick of the ager at most
        assert opening.firewall.tick(1.1 * number - 0.2) == ()
        ((port, data),) = opening.firewall.tick(1.1 * number)
        assert (port, decode(data)) == (TRUST, (opening.way.back(), probe))
        assert opening.send(decode(opening.ack())[1]) == first
    assert opening.firewall.tick(8) == ()
    assert opening.firewall.counters()["flow_dos_syncookie_probe"] == 4
    opening.answer()


def test_who_is_not_probed() -> None:
    served = Opening()
    served.open()
    served.answer()
    assert served.firewall.tick(6) == ()
    for back, reset in (
        (False, Segment(RST | ACK, CLIENT_ISN + 1, 0, 0)),
        (True, Segment(RST | ACK, 0, CLIENT_ISN + 1, 0)),
    ):
        opening = Opening()
        opening.open()
        opening.send(reset, back=back)
        assert opening.firewall.tick(4) == ()


def test_a_denied_client() -> None:
    for action, told in (("deny", ()), ("reset-both", (TRUST,))):
        rule = SecurityRule(name="no", action=action)
        opening = Opening(firewall=Firewall(protected(rule)))
        answer = opening.firewall.send(opening.ack())
        assert answer.what == "flow_policy_deny"
        assert tuple(port for port, _ in answer.emitted) == told  # the server knows of nothing
        for _, data in answer.emitted:
            _, reset = decode(data)
            assert (reset.flags & RST, reset.seq) == (RST, (opening.cookie.seq + 1) % WORDS)


# ---- the handshake with the server ---------------------------------------------------------------


def test_the_syn_ack_becomes_a_window_update() -> None:
    opening = Opening()
    opening.open()
    for _ in range(2):  # retransmitted: the same again
        update, ack = opening.answer(FULL._replace(scale=9))
        assert (update.flags, update.ack) == (ACK, CLIENT_ISN + 1)
        assert update.seq == (opening.cookie.seq + 1) % WORDS
        assert update.window == 65160 >> 7
        assert opening.cookie.stamps is not None
        assert update.stamps == (opening.cookie.stamps[0], 1001)
        assert (update.offer, update.sacks) == (None, ())
        assert (ack.flags, ack.seq, ack.ack) == (ACK, CLIENT_ISN + 1, SERVER_ISN + 1)
        assert (ack.stamps, ack.window) == ((1001, 7000), 500)
    session = opening.firewall.session()
    assert session.syn_cookie
    assert session.tracker == ""
    (view,) = opening.firewall.engine.native.sessions(0)[0]
    assert view.tcp_state == "ESTABLISHED"


@pytest.mark.parametrize(
    ("scale", "window", "told"),
    [(7, 1000, 1000), (9, 1000, 4000), (9, 60000, 65535), (0, 60000, 468), (None, 60000, 468)],
)
def test_windows_of_the_server(scale: int | None, window: int, told: int) -> None:
    opening = Opening()
    opening.open()
    opening.answer(FULL._replace(scale=scale))
    data = opening.send(Segment(ACK, SERVER_ISN + 1, CLIENT_ISN + 1, window), back=True)
    assert isinstance(data, Segment)
    assert data.window == told


@pytest.mark.parametrize(("scale", "told"), [(9, 400), (None, 400 << 7)])
def test_windows_of_the_client(scale: int | None, told: int) -> None:
    opening = Opening()
    opening.open()
    opening.answer(FULL._replace(scale=scale))
    stamps = (1002, 0)
    ack = Segment(ACK, CLIENT_ISN + 1, opening.cookie.seq + 1, 400, stamps=stamps)
    data = opening.send(ack)
    assert isinstance(data, Segment)
    assert data.window == told
    wide = opening.send(ack._replace(window=60000))
    assert isinstance(wide, Segment)
    assert wide.window == (60000 if scale is not None else 65535)


@pytest.mark.parametrize("sack", [False, True])
@pytest.mark.parametrize("stamps", [False, True])
def test_a_server_gets_the_options_it_has(sack: bool, stamps: bool) -> None:
    opening = Opening()
    opening.open()
    opening.answer(FULL._replace(sack=sack, stamps=stamps))
    delta = opening.cookie.seq - SERVER_ISN
    assert opening.cookie.stamps is not None
    sent = Segment(
        ACK,
        CLIENT_ISN + 1,
        opening.cookie.seq + 1,
        400,
        stamps=(1002, opening.cookie.stamps[0]),
        sacks=(((SERVER_ISN + 9 + delta) % WORDS, (SERVER_ISN + 19 + delta) % WORDS),),
    )
    got = opening.send(sent)
    assert isinstance(got, Segment)
    assert got.stamps == ((1002, 7000) if stamps else None)
    assert got.sacks == (((SERVER_ISN + 9, SERVER_ISN + 19),) if sack else ())


# ---- afterwards ----------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_errors_quote_what_their_receiver_has_sent(family: int) -> None:
    opening = Opening(family=family)
    opening.open()
    opening.answer()
    delta = opening.cookie.seq - SERVER_ISN
    to_server = Segment(ACK, CLIENT_ISN + 1, SERVER_ISN + 1, 1000, b"c" * 10)
    error = icmp_error(encode(opening.way, to_server))
    answer = opening.firewall.send(error, UNTRUST)
    quoted = quote_of(answer.data, family)
    assert quoted.seq == CLIENT_ISN + 1
    assert quoted.ack == (SERVER_ISN + 1 + delta) % WORDS
    to_client = Segment(ACK, SERVER_ISN + 1 + delta, CLIENT_ISN + 1, 1000, b"s" * 10)
    error = icmp_error(
        encode(opening.way.back(), to_client), src="192.0.2.77" if family == 4 else "2001:db8:1::77"
    )
    answer = opening.firewall.send(error, TRUST)
    quoted = quote_of(answer.data, family)
    assert (quoted.seq, quoted.ack) == (SERVER_ISN + 1, CLIENT_ISN + 1)


def quote_of(error: bytes | None, family: int) -> Segment:
    assert error is not None
    return decode(error[28 if family == 4 else 48 :])[1]  # its checksum, too


def test_a_session_that_is_denied_later_is_reset_with_the_numbers_of_each_side() -> None:
    opening = Opening()
    opening.open()
    opening.answer()
    number = 1
    assert opening.firewall.engine.native.deny(number, "reset-both", 0)
    resets = {
        opening.firewall.engine.port_name(verdict.port): decode(verdict.data or b"")[1]
        for verdict in opening.firewall.engine.native.verdicts()
    }
    told = (opening.cookie.seq + 1) % WORDS
    assert (resets[TRUST].seq, resets[TRUST].ack) == (told, CLIENT_ISN + 1)
    assert (resets[UNTRUST].seq, resets[UNTRUST].ack) == (CLIENT_ISN + 1, SERVER_ISN + 1)


def test_out_of_window_stays_out_of_window() -> None:
    """Tracking goes by the server's numbers: what the client says in them is none of its own."""
    opening = Opening()
    opening.open()
    opening.answer()
    stamps = (1002, 0)
    own = Segment(ACK, CLIENT_ISN + 1, opening.cookie.seq + 1, 400, stamps=stamps)
    assert isinstance(opening.send(own), Segment)
    assert opening.send(own._replace(ack=SERVER_ISN + 1)) == "tcp_drop_out_of_wnd"


# ---- whole connections ---------------------------------------------------------------------------

offers = st.builds(
    Offer,
    mss=st.sampled_from([None, 536, 1220, 1460, 8940]),
    scale=st.sampled_from([None, 0, 2, 7, 9, 14]),
    sack=st.booleans(),
    stamps=st.booleans(),
)
# often about to wrap
words = st.one_of(st.integers(0, WORDS - 1), st.integers(WORDS - 3000, WORDS - 1))


class Network:
    """Two ends and the firewall; what is on its way gets lost, comes twice, or later."""

    def __init__(self, client: End, server: End, family: int, chance: random.Random) -> None:
        self.firewall = Firewall(protected())
        self.ends = {TRUST: client, UNTRUST: server}
        self.ways = {TRUST: way(family), UNTRUST: way(family).back()}
        client.peer, server.peer = server, client
        client.lacks_stamps = not server.offer.stamps
        self.queues: dict[tuple[str, str], list[bytes]] = {
            (port, where): [] for port in self.ends for where in ("in", "out")
        }
        self.chance = chance

    def send(self, port: str, segment: Segment | None) -> None:
        if segment is not None:
            self.queues[port, "in"].append(encode(self.ways[port], segment))

    def step(self, loss: float) -> bool:
        """A packet goes on; False where there is none."""
        waiting = [key for key, queue in self.queues.items() if queue]
        if not waiting:
            return False
        key = self.chance.choice(waiting)
        queue, luck = self.queues[key], self.chance.random()
        packet = queue.pop(self.chance.randrange(len(queue)) if luck < loss else 0)
        if self.chance.random() < loss:
            queue.append(packet)  # twice
        if self.chance.random() >= loss:
            self._arrives(*key, packet)
        return True

    def _arrives(self, port: str, where: str, packet: bytes) -> None:
        if where == "out":
            self.send(port, self.ends[port].receive(decode(packet)[1]))
            return
        answer = self.firewall.send(packet, port)
        for leaves, data in answer.emitted:
            self.queues[leaves, "out"].append(data)
        if answer.what == "forward":
            data = packet if answer.data is None else answer.data
            self.queues[answer.port, "out"].append(data)

    def is_done(self) -> bool:
        client, server = self.ends.values()
        return client.got == server.data and server.got == client.data

    def run(self, loss: float, rounds: int) -> None:
        for _ in range(rounds):
            if self.is_done():
                return
            for port, end in self.ends.items():
                if port == TRUST or end.state != "closed":
                    self.send(port, end.again())
                for _ in range(3):
                    self.send(port, end.next())
            while self.step(loss):
                pass


@settings(max_examples=150, deadline=None)
@given(
    client=offers,
    server=offers,
    numbers=st.tuples(words, words),
    clocks=st.tuples(words, words),
    windows=st.tuples(*[st.sampled_from([1000, 5000, 65535, 100_000, 5_000_000])] * 2),
    sizes=st.tuples(st.integers(1, 12_000), st.integers(0, 12_000)),
    loss=st.sampled_from([0.0, 0.1, 0.3]),
    seed=st.integers(0, 1 << 30),
    family=st.sampled_from(FAMILIES),
)
def test_each_end_sees_one_connection(
    client: Offer,
    server: Offer,
    numbers: tuple[int, int],
    clocks: tuple[int, int],
    windows: tuple[int, ...],
    sizes: tuple[int, int],
    loss: float,
    seed: int,
    family: int,
) -> None:
    chance = random.Random(seed)
    ends = [
        # a scale is for windows it can say
        End(number, offer, chance.randbytes(size), max(window, 2 << (offer.scale or 0)), clock)
        for number, offer, size, window, clock in zip(
            numbers, (client, server), sizes, windows, clocks, strict=True
        )
    ]
    network = Network(ends[0], ends[1], family, chance)
    network.run(loss, 20)
    network.run(0, 100)
    assert network.is_done()
    assert network.firewall.engine.native.stats().installed == 1
    assert signed(ends[1].theirs - ends[0].isn) == 0
