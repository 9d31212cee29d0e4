"""The firewall inline by both drivers: beside its hosts in namespaces, and as a machine of its own.

A lab of each kind serves every file here, since a machine takes its time to boot: a file has a
configuration of its own, by a fixture `config`, and leaves the hosts as it found them.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.firewalls import config, firewall, hold
from vm import image
from vm.machine_lab import MachineLab
from vm.namespaces import Lab, LabError

__all__ = ["config", "firewall", "hold"]  # fixtures

CPUS = 2
FIGURES: pytest.StashKey[dict[str, str]] = pytest.StashKey()
LAST = "test_reboot.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The machine ends with the last file that has it, and before other machines are booted."""
    here = Path(__file__).parent
    places = [place for place, item in enumerate(items) if item.path.parent == here]
    ordered = sorted((items[place] for place in places), key=lambda item: item.path.name == LAST)
    for place, item in zip(places, ordered, strict=True):
        items[place] = item


@pytest.fixture(scope="session")
def progress(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Says at once what takes long."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    reporter = request.config.pluginmanager.getplugin("terminalreporter")

    def say(line: str) -> None:
        with capture.global_and_fixture_disabled():
            reporter.write_line(f"  {line}")

    return say


@pytest.fixture(scope="session")
def machine_lab(
    request: pytest.FixtureRequest, progress: Callable[[str], None]
) -> Iterator[MachineLab]:
    try:
        built = image.build(progress)
        lab = MachineLab.boot(built, progress, cpus=CPUS)
    except LabError as error:
        pytest.exit(f"no machine: {error}", returncode=1)  # it would be the same for every test
    with lab:
        request.config.stash[FIGURES] = {
            "accelerator": lab.machine.accelerator,
            "image": f"{built.size_bytes / 1e6:.0f} MB",
        }
        yield lab


@pytest.fixture(
    scope="session",
    params=[
        pytest.param("namespaces", marks=pytest.mark.netns),
        pytest.param("vm", marks=pytest.mark.vm),
    ],
)
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    if request.param == "vm":
        yield request.getfixturevalue("machine_lab")
    else:
        with Lab.start(lambda _: None) as lab:
            yield lab


@pytest.fixture(scope="session")
def tell(request: pytest.FixtureRequest, lab: Lab) -> Callable[[str, str], None]:
    """Has a figure of the machine told at the end."""

    def note(name: str, value: str) -> None:
        if FIGURES in request.config.stash:
            request.config.stash[FIGURES][name] = value

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if figures := terminalreporter.config.stash.get(FIGURES, {}):
        terminalreporter.section("the firewall as a machine")
        for name, value in figures.items():
            terminalreporter.write_line(f"{name:<22} {value}")
