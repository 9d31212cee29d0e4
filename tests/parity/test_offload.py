"""The same packets with the offload engine and without: the same verdicts, bytes and log.

With no engine is the measure: every script of a capture has to come out so on every platform and
however the engine is switched; and at the edges of the queue, those of sessions that it takes.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dataplane.edges import NAMES
from dataplane.offload import PROFILES
from native import COUNTERS
from tests.parity.outcome import OF_OFFLOAD, OFFLOADED, TIMERS
from tests.parity.queued import comparable, expected_of_a_queue
from tests.parity.reference import expected
from tests.parity.scripts import SCRIPTS, Script
from tests.parity.sessions import SESSIONS, Session
from tests.parity.site import Site
from tests.parity.translations import TRANSLATIONS
from tests.parity.ways import WAYS

ALL = SCRIPTS | TRANSLATIONS | {name: session.script for name, session in SESSIONS.items()}
DROPS = {info.name for info in COUNTERS if info.severity == "drop"}


@pytest.mark.parametrize("ageing", [False, True], ids=["cleared", "aged out"])
@pytest.mark.parametrize("script", ALL.values(), ids=ALL)
def test_offloading_changes_nothing(script: Script, ageing: bool, tmp_path: Path) -> None:
    fields = OFFLOADED | TIMERS if ageing else OFFLOADED
    found = {
        name: expected(script, tmp_path / name, way, ageing=ageing).apart_from(fields, OF_OFFLOAD)
        for name, way in WAYS.items()
    }
    assert found == dict.fromkeys(WAYS, found["software"])


@pytest.mark.parametrize("session", SESSIONS.values(), ids=SESSIONS)
def test_a_script_brings_about_what_it_is_there_for(session: Session, tmp_path: Path) -> None:
    for name, way in WAYS.items():
        found = expected(session.script, tmp_path / name, way)
        seen = {
            counter: by
            for counter, by in found.counters.items()
            if counter in DROPS or counter in session.counters
        }
        assert seen == session.counters
        assert bool(found.counters.get("pkt_offloaded")) == way.offloads
        assert any(entry["offloaded"] for entry in found.log) == way.offloads


@pytest.fixture(
    scope="module", params=[(edge, platform) for edge in NAMES for platform in PROFILES]
)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    with Site(*request.param) as site:
        yield site


@pytest.mark.parametrize("script", TRANSLATIONS.values(), ids=TRANSLATIONS)
def test_every_packet_of_a_translated_session_passes(script: Script, tmp_path: Path) -> None:
    for name, way in WAYS.items():
        found = expected(script, tmp_path / name, way)
        assert not found.counters.keys() & DROPS
        assert sum(map(len, found.out.values())) == len(script.packets)
        assert all(
            (entry["natsrc"], entry["natdst"], entry["natdport"])
            != (entry["src"], entry["dst"], entry["dport"])
            for entry in found.log
        )


QUEUED = {name: session.script for name, session in SESSIONS.items()} | {
    name: script
    for name, script in TRANSLATIONS.items()
    if name.endswith(("TCP, offloaded", "UDP", "two connections and errors"))
}


@pytest.mark.netns
@pytest.mark.parametrize("script", QUEUED.values(), ids=QUEUED)
def test_a_queue_does_it_every_way(site: Site, script: Script, tmp_path: Path) -> None:
    ways = {name: way for name, way in WAYS.items() if way.platform == site.platform}
    for name, way in ways.items():
        (tmp_path / name).mkdir()
        wanted = expected_of_a_queue(script, site.edge, tmp_path / name, way)
        assert comparable(site.play(script, wanted, way)) == wanted
