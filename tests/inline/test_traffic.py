"""The demonstration's traffic and long transfers, through the lab's own configuration: inside is
hidden behind the firewall's address, outside sees nothing else.
"""

import re
from collections.abc import Callable, Iterator

import pytest

from tests.support.labs import SHORT_TIMERS, Counted, Hold, session_ids
from tests.support.transfers import MB, RULE, transfer_s, transfers
from vm import traffic
from vm.firewall import CONFIG, Firewall
from vm.namespaces import Lab
from vm.topology import SERVER, SERVER6

OUTSIDE = "203.0.113.1"


@pytest.fixture(scope="module")
def config() -> str:
    return CONFIG.read_text() + SHORT_TIMERS + RULE


@pytest.mark.parametrize("attempt", traffic.ATTEMPTS, ids=lambda attempt: attempt.what)
@pytest.mark.usefixtures("firewall")
def test_the_demonstration(lab: Lab, attempt: traffic.Attempt) -> None:
    outcome = traffic.attempt(lab, attempt)
    assert outcome.as_expected, outcome.happened


def test_the_session_shows_zones_and_both_addresses(firewall: Firewall, hold: Hold) -> None:
    assert hold(43001).request() == "ok"
    (number,) = session_ids(firewall, source_port=43001)
    shown = firewall.ask("show session all")
    row = (
        rf"^{number} +\S+ +ACTIVE +FLOW +NS +192\.0\.2\.10\[43001\]/trust/6 +"
        rf"\({re.escape(OUTSIDE)}\[\d+\]\)\n"
        rf"vsys1 +{re.escape(SERVER)}\[80\]/untrust +\({re.escape(SERVER)}\[80\]\)$"
    )
    assert re.search(row, shown, re.MULTILINE), shown


@pytest.fixture(scope="module", params=[SERVER, SERVER6], ids=["translated", "IPv6"])
def server(request: pytest.FixtureRequest, lab: Lab, firewall: Firewall) -> Iterator[str]:
    with transfers(lab, "server", request.param):
        yield request.param


@pytest.mark.parametrize("way", ["download", "upload"])
def test_a_hundred_megabytes_arrive_as_they_were(
    lab: Lab, firewall: Firewall, server: str, way: str, tell: Callable[[str, str], None]
) -> None:
    late, refused = Counted(firewall, "tcp_drop_out_of_wnd"), Counted(firewall, "flow_policy_deny")
    seconds = transfer_s(lab, "client", way, server, 100 * MB, within_s=120)
    family = "IPv6" if ":" in server else "IPv4, translated"
    tell(f"TCP {way}, {family}", f"{100 * 8 / seconds:.0f} Mbit/s")
    assert late.by_now() == 0
    assert refused.by_now() == 0
