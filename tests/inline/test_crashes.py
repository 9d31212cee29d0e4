"""Either process of the firewall is killed: what is open goes on, and what is missing comes back.

In namespaces the test starts the management process again; in a machine systemd does.
"""

from tests.support.inline import await_management, kill_dataplane
from tests.support.labs import Hold, hook_rules, session_ids
from vm import traffic
from vm.firewall import Firewall
from vm.namespaces import Lab
from vm.waiting import wait_until

WEB, WEB6 = (
    next(attempt for attempt in traffic.ATTEMPTS if attempt.what == what)
    for what in ("HTTP", "HTTP over IPv6")
)


def passes(lab: Lab) -> bool:
    return all(traffic.attempt(lab, what).passed for what in (WEB, WEB6))


def test_a_killed_dataplane_is_replaced(lab: Lab, firewall: Firewall) -> None:
    rules, management, (dataplane,) = (
        hook_rules(lab),
        firewall.management,
        firewall.dataplanes(),
    )
    kill_dataplane(firewall)
    wait_until(lambda: passes(lab), "traffic passes again", seconds=60)
    assert firewall.management == management
    (another,) = firewall.dataplanes()
    assert another != dataplane
    assert hook_rules(lab) == rules


def test_connections_outlive_the_management_process(
    lab: Lab, firewall: Firewall, hold: Hold
) -> None:
    held = hold(42001)
    assert held.request() == "ok"
    rules, management = hook_rules(lab), firewall.management
    sessions, dataplanes = session_ids(firewall, source_port=42001), firewall.dataplanes()
    firewall.kill_management()
    assert held.request() == "ok"
    assert passes(lab)  # new sessions too: the dataplane has its configuration
    await_management(firewall)
    assert firewall.management != management
    assert firewall.dataplanes() == dataplanes
    assert session_ids(firewall, source_port=42001) == sessions
    assert held.request() == "ok"
    assert hook_rules(lab) == rules
