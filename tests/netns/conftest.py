"""A lab for each file of tests (vm/topology.py draws it), and the firewall in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.firewalls import config, firewall, hold
from vm.namespaces import Lab

__all__ = ["config", "firewall", "hold"]  # fixtures


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.netns)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab.start(lambda _: None) as lab:
        yield lab
