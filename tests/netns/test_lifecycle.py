"""Stops, crashes of everything, restarts: the firewall fails closed, and a start is enough."""

import re
from collections.abc import Iterator

import pytest

from tests.support.labs import hook_rules
from vm import traffic
from vm.firewall import CONFIG, Firewall
from vm.namespaces import Lab
from vm.topology import FIREWALL, LINKS

WEB, WEB6 = (
    next(attempt for attempt in traffic.ATTEMPTS if attempt.what == what)
    for what in ("HTTP", "HTTP over IPv6")
)
WITHIN = next(attempt for attempt in traffic.ATTEMPTS if attempt.what == "ping within trust")


def passes(lab: Lab) -> bool:
    return all(traffic.attempt(lab, what).passed for what in (WEB, WEB6))


def is_closed(lab: Lab) -> bool:
    """Nothing gets through: what a rule allows, and what needs none."""
    trying = [lab.popen("client", what.command) for what in (WEB, WEB6, WITHIN)]
    for one in trying:
        one.communicate(timeout=20)
    return all(one.returncode for one in trying)


def is_hooked_once(rules: list[str]) -> bool:
    """Both queues for each port and family, and one way to get there."""
    queues = [rule for rule in rules if "-j NFQUEUE" in rule and "-i eth" in rule]
    jumps = [rule for rule in rules if rule.startswith("-A PREROUTING")]
    return len(queues) == 4 * len(LINKS) and len(jumps) == 2


@pytest.fixture(autouse=True)
def back_to_normal(lab: Lab, firewall: Firewall) -> Iterator[None]:
    """Every test starts and ends with a firewall that passes traffic and is hooked in once."""
    before = hook_rules(lab)
    assert is_hooked_once(before)
    assert passes(lab)
    yield
    assert passes(lab)
    assert hook_rules(lab) == before
    assert len(firewall.dataplanes()) == 1


def test_after_a_crash_of_everything_nothing_passes_and_a_start_is_enough(
    lab: Lab, firewall: Firewall
) -> None:
    for _ in range(2):
        firewall.kill()
        assert is_closed(lab)
        firewall.start()
        assert passes(lab)
        assert is_hooked_once(hook_rules(lab))


def test_a_stop_takes_the_hook_out_and_forwards_nothing(lab: Lab, firewall: Firewall) -> None:
    assert firewall.stop() == 0
    assert not [rule for rule in hook_rules(lab) if re.search("NFQUEUE|SIXTUPLE", rule)]
    assert not firewall.dataplanes()
    assert is_closed(lab)
    firewall.start()


def test_a_second_firewall_in_the_namespace_is_refused(lab: Lab, firewall: Firewall) -> None:
    directory = "/run/another"
    done = lab.run(FIREWALL, firewall.program("run", "--config", CONFIG, "--state-dir", directory))
    assert done.returncode == 2
    said = done.stdout + done.stderr
    assert "another firewall" in said
    assert said.count("\n") == 1
