"""Fixtures of every test with a firewall in a `lab`, whichever kind of lab that is."""

from collections.abc import Iterator

import pytest

from tests.support.inline import firewall_in
from tests.support.labs import SHORT_TIMERS, UNTRANSLATED, Held, Hold
from vm.firewall import Firewall
from vm.namespaces import Lab


@pytest.fixture(scope="module")
def config() -> str:
    """The lab's own, with timers that a test can wait for; a file with another one says so."""
    return UNTRANSLATED + SHORT_TIMERS


@pytest.fixture(scope="module")
def firewall(lab: Lab, config: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firewall]:
    """A running firewall; a test that stops it starts it again."""
    path = tmp_path_factory.mktemp("firewall") / "config.set"
    path.write_text(config)
    firewall = firewall_in(lab, path)
    firewall.start()
    yield firewall
    firewall.kill()


@pytest.fixture
def hold(lab: Lab, firewall: Firewall) -> Iterator[Hold]:
    opened: list[Held] = []

    def connect(sport: int, *, answer_within_s: float = 5) -> Held:
        opened.append(Held(lab, sport, answer_within_s=answer_within_s))
        return opened[-1]

    yield connect
    for held in opened:
        held.close()
