"""Ports, leases and targets: what translation hands out, and gets back."""

import struct
from collections import Counter
from ipaddress import ip_address
from itertools import pairwise

import pytest
from scapy.layers.inet import IP, TCP, UDP

from native import NAT_BOTH, NAT_DESTINATION, NAT_NONE, NAT_SOURCE, Filter
from tests.support.translation import (
    AS_IS,
    CLIENT,
    NS,
    OUTSIDE,
    SERVER,
    Translation,
    Translator,
    packed,
    parsed,
)

PUBLIC = "198.51.100.7"
PORTS = 65536 - 1024
BEHIND = Translation(PUBLIC, 0)


def udp(number: int, server: str = SERVER[4], dport: int = 53) -> bytes:
    """The first packet of another session each; packed by hand, they come by the ten thousand."""
    source = ip_address(f"10.1.{1 + (number >> 14)}.{1 + (number >> 8 & 63)}").packed
    addresses = source + ip_address(server).packed
    fields = struct.pack("!BBHHHBBH", 0x45, 0, 28, 0, 0, 64, 17, 0)
    total = sum(struct.unpack("!10H", fields + addresses))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF)
    ports = struct.pack("!HHHH", 1024 + (number & 255), dport, 8, 0)
    return fields[:10] + checksum + addresses + ports


def counter(translator: Translator, name: str) -> int:
    return translator.engine.counters()[name]


def ports_of(translator: Translator) -> list[int]:
    views, cursor = [], 0
    while True:
        page, cursor = translator.engine.sessions(cursor)
        views += page
        if not cursor:
            return [view.s2c.dport for view in views]


def clear_all(translator: Translator) -> None:
    cursor = 0
    while True:
        page, cursor = translator.engine.sessions(cursor)
        for view in page:
            assert translator.engine.clear(view.id)
        if not cursor:
            return


def open_sessions(translator: Translator, numbers: range, oversubscription: int = 1) -> list[str]:
    """What became of their first packets."""
    outcomes = []
    for number in numbers:
        (verdict,) = translator.feed(
            udp(number), translation=BEHIND, oversubscription=oversubscription
        )
        outcomes.append(translator.reason(verdict))
    return outcomes


def test_an_address_has_as_many_sessions_as_ports_and_gives_them_back() -> None:
    translator = Translator()
    outcomes = Counter(open_sessions(translator, range(PORTS + 5)))
    assert outcomes == {"": PORTS, "nat_port_alloc_fail": 5}
    ports = ports_of(translator)
    assert len(set(ports)) == PORTS
    assert (min(ports), max(ports)) == (1024, 65535)
    assert translator.engine.nat_ports(packed(PUBLIC)) == PORTS
    assert counter(translator, "session_allocated") - counter(translator, "session_freed") == PORTS
    first = translator.engine.session(1)
    assert first is not None
    assert translator.engine.clear(1)
    assert open_sessions(translator, range(PORTS + 5, PORTS + 7)) == ["", "nat_port_alloc_fail"]
    assert translator.engine.session(1) is not None
    assert set(ports_of(translator)) == set(ports)  # the one that came back
    clear_all(translator)
    assert translator.engine.nat_ports(packed(PUBLIC)) == 0
    assert counter(translator, "nat_dynamic_port_xlat") == PORTS + 1
    assert counter(translator, "nat_dynamic_port_release") == PORTS + 1
    assert translator.engine.stats().translated == 0


def test_a_port_is_shared_by_as_many_sessions_as_allowed_and_none_with_the_same_server() -> None:
    translator = Translator()
    servers = [f"10.2.0.{n}" for n in range(2, 5)]
    outcomes = Counter()
    for number in range(25_000):
        for server in servers:
            (verdict,) = translator.feed(
                udp(number, server), translation=BEHIND, oversubscription=2
            )
            outcomes[translator.reason(verdict)] += 1
    assert outcomes == {"": 75_000}
    assert max(Counter(ports_of(translator)).values()) == 2


def test_the_next_port_cannot_be_guessed() -> None:
    translator = Translator()
    open_sessions(translator, range(500))
    ports = ports_of(translator)
    steps = Counter(after - before for before, after in pairwise(ports))
    assert max(steps.values()) <= 3
    spread = Counter(port // 8192 for port in ports)
    assert len(spread) == 8
    assert max(spread.values()) < 120


def test_an_answer_to_a_chosen_port_reaches_its_client() -> None:
    translator = Translator()
    data = bytes(IP(src=CLIENT[4], dst=SERVER[4]) / TCP(sport=1234, dport=80))
    out = parsed(translator.forwarded(data, translation=BEHIND, oversubscription=1))
    assert out.src == PUBLIC
    assert out[TCP].sport >= 1024
    answer = IP(src=SERVER[4], dst=PUBLIC) / TCP(sport=80, dport=out[TCP].sport, flags="SA", ack=1)
    back = parsed(translator.forwarded(bytes(answer), OUTSIDE))
    assert (back.dst, back[TCP].dport) == (CLIENT[4], 1234)


def test_who_is_denied_keeps_nobody_from_a_port() -> None:
    """Packets in the server's name to every port of the address, denied."""
    translator = Translator()
    for port in range(1024, 65536):
        header = struct.pack("!BBHHHBBH", 0x45, 0, 28, 0, 0, 64, 17, 0)
        packet = IP(header + packed(SERVER[4])[12:] + packed(PUBLIC)[12:])
        del packet.chksum
        data = bytes(packet)[:20] + struct.pack("!HHHH", 53, port, 8, 0)
        translator.feed(data, OUTSIDE, action="deny", keep_denied=True)
    assert translator.engine.stats().discard == PORTS
    assert open_sessions(translator, range(3)) == [""] * 3
    assert translator.engine.stats().discard == PORTS - 3


def test_a_session_that_ages_out_gives_its_port_back() -> None:
    translator = Translator()
    open_sessions(translator, range(10))
    translator.engine.tick(31 * NS)
    assert translator.engine.nat_ports(packed(PUBLIC)) == 0


def test_a_denied_session_gives_its_translation_back() -> None:
    translator = Translator()
    open_sessions(translator, range(1))
    assert translator.engine.deny(1, "deny", 7)
    assert translator.engine.nat_ports(packed(PUBLIC)) == 0
    view = translator.engine.session(1)
    assert view is not None
    assert (view.state, view.rule, view.action) == ("DISCARD", 7, "deny")
    (verdict,) = translator.feed(udp(0))
    assert translator.reason(verdict) == "flow_discard_drop"
    assert translator.engine.clear(1)
    assert not translator.engine.deny(1, "deny", 7)


def test_more_addresses_than_are_kept_track_of_fail_closed() -> None:
    translator = Translator()
    kept = 2048
    for number in range(kept + 1):
        address = f"198.51.{number >> 8}.{number & 255}"
        (verdict,) = translator.feed(
            udp(number), translation=Translation(address, 0), oversubscription=1
        )
        expected = "nat_port_alloc_fail" if number == kept else ""
        assert translator.reason(verdict) == expected
    assert translator.engine.clear(1)
    (verdict,) = translator.feed(
        udp(9999), translation=Translation("203.0.113.1", 0), oversubscription=1
    )
    assert translator.reason(verdict) == ""


# ---- leases --------------------------------------------------------------------------------------

POOL, SIZE = 3, 4


def source(number: int) -> bytes:
    return packed(f"10.1.0.{number}")


def test_a_source_keeps_its_lease_and_the_pool_ends() -> None:
    engine = Translator().engine
    first = [engine.nat_lease(POOL, SIZE, source(number)) for number in range(SIZE)]
    assert sorted(first) == [0, 1, 2, 3]  # type: ignore[type-var]
    again = [engine.nat_lease(POOL, SIZE, source(number)) for number in range(SIZE)]
    assert again == first
    assert engine.nat_lease(POOL, SIZE, source(99)) is None
    assert engine.nat_lease(POOL + 1, SIZE, source(99)) == 0  # another pool
    assert engine.nat_leases(POOL) == SIZE


@pytest.mark.parametrize("reserve_s", [0, 60])
def test_a_lease_ends_with_its_last_session_and_the_reservation(reserve_s: int) -> None:
    translator = Translator(nat_reserve_s=reserve_s)
    engine = translator.engine
    index = engine.nat_lease(POOL, 1, packed(CLIENT[4]))
    assert index == 0
    for sport in (1, 2):
        data = bytes(IP(src=CLIENT[4], dst=SERVER[4]) / UDP(sport=sport, dport=53))
        out = translator.forwarded(data, translation=Translation(PUBLIC), lease_pool=POOL)
        assert parsed(out).src == PUBLIC
    assert engine.clear(1)
    engine.tick(3 * NS)
    assert engine.nat_lease(POOL, 1, source(99)) is None  # one session lives
    assert engine.clear(2)
    if reserve_s:
        assert engine.nat_lease(POOL, 1, source(99)) is None
        engine.tick((3 + reserve_s) * NS)
    assert engine.nat_leases(POOL) == 0
    assert engine.nat_lease(POOL, 1, source(99)) == 0


def test_a_shorter_reservation_holds_for_leases_that_wait_already() -> None:
    translator = Translator(nat_reserve_s=3600)
    assert translator.engine.nat_lease(POOL, 2, source(1)) is not None
    translator.set_reserve(0)
    assert translator.engine.nat_lease(POOL, 2, source(2)) is not None
    translator.engine.tick(3 * NS)
    assert translator.engine.nat_leases(POOL) == 0


def test_a_lease_nobody_uses_ends() -> None:
    engine = Translator().engine
    assert engine.nat_lease(POOL, 1, source(1)) == 0
    engine.tick(NS)
    assert engine.nat_lease(POOL, 1, source(2)) == 0


def test_a_session_without_its_lease_is_not_made() -> None:
    translator = Translator()
    (verdict,) = translator.feed(udp(1), translation=Translation(PUBLIC), lease_pool=POOL)
    assert translator.reason(verdict) == "nat_port_alloc_fail"
    assert translator.engine.stats().allocated == 0


# ---- targets -------------------------------------------------------------------------------------


def test_live_sessions_of_a_target_are_counted() -> None:
    translator = Translator()
    for number in range(3):
        translator.feed(udp(number), nat_target=5 if number else 6)
    assert [translator.engine.nat_target(target) for target in (4, 5, 6)] == [0, 2, 1]
    assert translator.engine.clear(1)
    translator.engine.deny(2, "drop", 1)
    assert [translator.engine.nat_target(target) for target in (4, 5, 6)] == [0, 1, 0]


def test_filters_by_translation() -> None:
    translator = Translator()
    translations = [
        AS_IS,
        Translation(PUBLIC),
        Translation(None, None, "10.2.0.77"),
        Translation(PUBLIC, 7, None, 8080),
    ]
    for number, translation in enumerate(translations):
        translator.feed(udp(number), translation=translation, nat_rule=number)
    for number, nat in enumerate((NAT_NONE, NAT_SOURCE, NAT_DESTINATION, NAT_BOTH)):
        for matching in (Filter(nat=nat), Filter(nat_rule=number)):
            (view,), _ = translator.engine.sessions(matching=matching)
            assert (view.id, view.nat_rule) == (number + 1, number)
    assert translator.engine.stats().translated == 3
