"""A lab for each file of tests (vm/topology.py draws it), and the firewall in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.labs import SHORT_TIMERS, UNTRANSLATED, Held, Hold
from vm.firewall import Firewall
from vm.namespaces import Lab


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.netns)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab.start(lambda _: None) as lab:
        yield lab


@pytest.fixture(scope="module")
def config() -> str:
    """The lab's own, with timers that a test can wait for; a file with another one says so."""
    return UNTRANSLATED + SHORT_TIMERS


@pytest.fixture(scope="module")
def firewall(lab: Lab, config: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firewall]:
    """A running firewall; a test that stops it starts it again."""
    path = tmp_path_factory.mktemp("firewall") / "config.set"
    path.write_text(config)
    firewall = Firewall(lab, path)
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
