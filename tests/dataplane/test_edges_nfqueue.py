"""The native edge around a queue that is none: what Python does, and when the queue breaks."""

import threading
from collections.abc import Iterator, Sequence

import pytest

from dataplane.edges import nfqueue
from dataplane.edges.edge import EdgeError
from dataplane.edges.nfqueue import NfqueueEdge
from dataplane.engine import Engine
from native import Engine as NativeEngine
from native import NfqueueError, NfqueueStats, Packet
from tests.support.packets import ALLOW, HASH_KEY, NS, TRUST, routes, snapshot, udp

TIMEOUT_S = 10


class FakeQueue:
    """A loop that does nothing until it is stopped, or broken."""

    refusal = ""  # why it cannot be opened

    def __init__(self, number: int, engine: NativeEngine) -> None:
        if self.refusal:
            raise NfqueueError(self.refusal)
        self.number, self.engine = number, engine
        self.calls: list[str] = []
        self.ports: list[tuple[int, int]] = []
        self.fail_open: bool | None = None
        self.takes_flags = True
        self.failure: str | None = None
        self.end = threading.Event()
        self.stats_now = NfqueueStats(0, 0, 0, 0, 0, 0, 0)

    def run(self) -> None:
        self.end.wait(TIMEOUT_S)
        if self.failure is not None:
            raise NfqueueError(self.failure)

    def stop(self) -> None:
        self.calls.append("stop")
        self.end.set()

    def close(self) -> None:
        self.calls.append("close")

    def hear(self) -> None:
        self.calls.append("hear")

    def wake(self) -> None:
        self.calls.append(f"wake with {self.engine.stats().undecided} undecided")

    def fileno(self) -> int:
        return 77

    def set_ports(self, ports: Sequence[tuple[int, int, bool]]) -> None:
        self.ports = list(ports)

    def set_fail_open(self, fail_open: bool) -> None:
        if not self.takes_flags:
            raise NfqueueError("the queue does not take its flags")
        self.fail_open = fail_open

    def stats(self) -> NfqueueStats:
        return self.stats_now


class Site:
    def __init__(self) -> None:
        self.engine = Engine(hash_key=HASH_KEY, now_ns=0)
        self.edge = NfqueueEdge(7, self.engine)
        queue = self.edge._queue
        assert isinstance(queue, FakeQueue)
        self.queue = queue

    def break_down(self, why: str) -> None:
        self.queue.failure = why
        self.queue.end.set()
        self.edge._thread.join(TIMEOUT_S)


@pytest.fixture
def interfaces(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The interfaces of the machine: names and indices."""
    known = {"eth1": 11, "eth2": 12}

    def index(name: str) -> int:
        if name not in known:
            raise OSError(f"no interface with this name: {name}")
        return known[name]

    monkeypatch.setattr("socket.if_nametoindex", index)
    return known


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, interfaces: dict[str, int]) -> Iterator[Site]:
    monkeypatch.setattr(nfqueue, "Nfqueue", FakeQueue)
    site = Site()
    yield site
    site.edge.close()
    assert site.queue.calls[-2:] == ["stop", "close"]
    assert not site.edge._thread.is_alive()


def test_a_configuration_reaches_the_queue(site: Site, interfaces: dict[str, int]) -> None:
    assert site.edge.fileno() == 77
    site.engine.configure(snapshot(ALLOW))
    site.edge.configured()
    assert site.queue.ports == [(11, 1, False), (12, 2, False)]  # eth3 is not there
    assert site.queue.fail_open is False


def test_interfaces_that_come_and_go_are_found(site: Site, interfaces: dict[str, int]) -> None:
    site.engine.configure(snapshot(ALLOW))
    site.edge.configured()
    interfaces.update(eth1=21, eth3=13)
    del interfaces["eth2"]
    site.edge.tick(1 * NS)
    assert site.queue.ports == [(21, 1, False), (13, 3, False)]


def test_answers_are_sent_by_the_loop(site: Site) -> None:
    site.engine.configure(snapshot(ALLOW))
    site.engine.set_routes(routes())
    packets = [Packet(udp(sport=port), site.engine.port_number(TRUST), 1) for port in (1, 2, 3)]
    site.engine.native.input(packets)
    site.queue.calls.clear()
    assert site.edge.run_once(2)
    assert site.queue.calls == ["hear", "wake with 0 undecided"]
    assert len(site.engine.native.verdicts()) == 3


def test_what_the_loop_counts_is_counted_once(site: Site) -> None:
    names = ("nfq_malformed", "nfq_refused", "nfq_cut", "nfq_send_fail", "nfq_emit_fail")
    site.queue.stats_now = NfqueueStats(100, 10, 1, 2, 3, 4, 5)
    for second in range(1, 4):
        site.edge.tick(second * NS)
        assert [site.engine.counters()[name] for name in names] == [1, 2, 3, 4, 5]
    site.queue.stats_now = NfqueueStats(100, 10, 2, 4, 6, 8, 10)
    site.edge.tick(3 * NS + 1)
    assert [site.engine.counters()[name] for name in names] == [1, 2, 3, 4, 5]  # not yet
    site.edge.tick(4 * NS)
    assert [site.engine.counters()[name] for name in names] == [2, 4, 6, 8, 10]


def test_a_loop_that_breaks_is_noticed(site: Site) -> None:
    site.edge.tick(1)
    site.break_down("reading the queue: Bad file descriptor")
    message = r"^the queue broke: reading the queue: Bad file descriptor$"
    with pytest.raises(EdgeError, match=message):
        site.edge.tick(2)
    with pytest.raises(EdgeError, match=message):
        site.edge.run_once(3)


def test_flags_that_are_refused_are_an_error_of_the_edge(site: Site) -> None:
    site.queue.takes_flags = False
    with pytest.raises(EdgeError, match=r"^the queue broke: the queue does not take its flags$"):
        site.edge.configured()


def test_a_queue_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nfqueue, "Nfqueue", FakeQueue)
    monkeypatch.setattr(FakeQueue, "refusal", "cannot have the queue: why")
    with pytest.raises(EdgeError, match=r"^queue 7: cannot have the queue: why$"):
        Site()
