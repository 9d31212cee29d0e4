"""A whole configuration is swapped under traffic, from the command line.

client 192.0.2.10 ---- eth1 [ firewall ] eth2 203.0.113.1 ---- 203.0.113.10 server
"""

import re

import pytest

from tests.support.labs import UNTRANSLATED, Hold, commit, session_ids
from tests.support.transfers import MB, RULE, Transfer
from vm.firewall import DIRECTORY, Firewall
from vm.namespaces import Lab, LabError
from vm.topology import SERVER, WEB_NAME

OUTSIDE = "203.0.113.1"

HIDE = (
    "set rulebase nat rules hide from trust to untrust source any destination any service any"
    " source-translation dynamic-ip-and-port interface-address interface ethernet1/2\n"
)
DENY = "set rulebase security rules allow-web action deny\n"


def fetch(lab: Lab, sport: int) -> str:
    """What the web server says, "" where there is no answer."""
    limits = ["--connect-timeout", "1", "--max-time", "5", "--local-port", str(sport)]
    return lab.run("client", ["curl", "-sf", *limits, f"http://{SERVER}/"]).stdout


@pytest.fixture(scope="module")
def config() -> str:
    return UNTRANSLATED + RULE


def hits(firewall: Firewall, rulebase: str, rule: str) -> int:
    line = f"show rule-hit-count vsys vsys-name vsys1 rule-base {rulebase} rules list {rule}"
    *_, row = firewall.ask(line).splitlines()
    return int(row.split()[1])


def test_connections_that_are_still_allowed_stay(
    lab: Lab, firewall: Firewall, config: str, hold: Hold
) -> None:
    held = hold(46001)
    assert held.request() == "ok"
    sessions = session_ids(firewall, source_port=46001)
    assert len(sessions) == 1
    assert "committed successfully" in commit(firewall, config + HIDE)
    assert held.request() == "ok"
    assert session_ids(firewall, source_port=46001) == sessions
    assert session_ids(firewall, source_port=46001, nat="none") == sessions

    # what begins now is translated
    assert WEB_NAME in fetch(lab, 46002)
    (number,) = session_ids(firewall, source_port=46002, nat_rule="hide")
    detail = firewall.ask(f"show session id {number}")
    assert re.search(r"^ +address/port translation +: source$", detail, re.M), detail
    assert re.search(r"^ +nat-rule +: hide\(vsys1\)$", detail, re.M), detail
    listing = firewall.ask("show session all filter source-port 46002")
    assert re.search(rf" NS +192\.0\.2\.10\[46002\]/trust/6  \({OUTSIDE}\[\d+\]\)$", listing, re.M)
    assert hits(firewall, "nat", "hide") >= 1
    assert hits(firewall, "security", "allow-web") >= 2
    pools = firewall.ask("show running ippool").splitlines()
    assert pools[-1].split()[0] == "hide"

    before = hits(firewall, "security", "allow-web")
    assert "committed successfully" in commit(firewall, config)
    assert held.request() == "ok"
    assert hits(firewall, "security", "allow-web") == before  # over the commit


def test_connections_that_are_not_allowed_any_more_end(
    lab: Lab, firewall: Firewall, config: str, hold: Hold
) -> None:
    held = hold(46011, answer_within_s=1)
    assert held.request() == "ok"
    assert "committed successfully" in commit(firewall, config + DENY)
    assert held.request() == "TimeoutError"
    assert fetch(lab, 46012) == ""
    commit(firewall, config)
    assert WEB_NAME in fetch(lab, 46013)


@pytest.mark.parametrize(
    ("sport", "more"),
    [(46021, "set zone trust nonsense\n"), (46031, HIDE.replace("1/2", "1/7"))],
    ids=["syntax", "reference"],
)
def test_a_configuration_with_errors_leaves_everything_as_it_is(
    lab: Lab, firewall: Firewall, config: str, hold: Hold, sport: int, more: str
) -> None:
    held = hold(sport)
    assert held.request() == "ok"
    path = DIRECTORY / "new.set"
    line = config.count("\n") + 1
    with pytest.raises(LabError, match=f"{path}:{line}: error: .*Commit failed"):
        commit(firewall, config + more)
    assert held.request() == "ok"
    assert WEB_NAME in fetch(lab, sport + 1)
    firewall.ask("revert config")
    assert firewall.ask("check pending-changes") == "no\n"


def test_a_transfer_goes_on_over_commits(lab: Lab, firewall: Firewall, config: str) -> None:
    transfer = Transfer(lab)
    try:
        for more in (HIDE, DENY, ""):
            commit(firewall, config + more)
            transfer.await_bytes(MB)
        transfer.finish()
    finally:
        transfer.close()
