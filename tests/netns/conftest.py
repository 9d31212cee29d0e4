"""A lab for each file of tests (vm/topology.py draws it), and the firewall in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.labs import firewall_config
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
def firewall(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Firewall:
    """A running firewall. It ends with the lab; a test that stops it starts it again."""
    firewall = Firewall(lab, firewall_config(tmp_path_factory.mktemp("firewall") / "config.set"))
    firewall.start()
    return firewall
