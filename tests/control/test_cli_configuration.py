"""The candidate configuration on the command line."""

from __future__ import annotations

import pytest

from control.cli.answers import Refusal
from control.cli.operations import Operations
from tests.control.cli_fake import CONFIG, ERROR, WARNING, FakeManagement, chunks, refusal, run


@pytest.fixture
def firewall() -> FakeManagement:
    return FakeManagement()


def test_a_commit_says_what_it_does_as_it_does_it(firewall: FakeManagement) -> None:
    assert run(firewall, "check pending-changes") == "no\n"
    assert run(firewall, "commit") == "There are no changes to commit.\n"
    assert run(firewall, "load config from new.set") == (
        "Config loaded from new.set\nWarnings: 1; validate full lists them\n"
    )
    assert run(firewall, "check pending-changes") == "yes\n"
    assert run(firewall, "show config diff") == "+ set zone untrust\n"
    assert run(firewall, "show config candidate").endswith("set zone untrust\n")
    assert not run(firewall, "show config running").endswith("set zone untrust\n")
    assert chunks(Operations(firewall), "commit") == [
        "checking the configuration ...\n",
        "telling the dataplane ...\n",
        f"Configuration committed successfully in 1.3 seconds\nWarnings:\n{WARNING}\n",
    ]
    assert run(firewall, "show config running").endswith("set zone untrust\n")
    assert run(firewall, "check pending-changes") == "no\n"
    assert run(firewall, "show config diff") == ""


def test_a_configuration_with_errors_is_refused_with_all_of_them(firewall: FakeManagement) -> None:
    assert run(firewall, "load config from bad.set") == (
        "Config loaded from bad.set\nErrors: 1; commit refuses it, validate full lists them\n"
    )
    *steps, last = chunks(Operations(firewall), "commit")
    assert steps == ["checking the configuration ...\n"]
    assert isinstance(last, Refusal)
    assert last == (
        f"{ERROR}\n{ERROR.replace(':1:', ':2:')}\n"
        "Commit failed, the running configuration stays as it is\n"
    )
    assert firewall.running == CONFIG
    assert refusal(firewall, "validate full") == f"{ERROR}\nValidation failed\n"
    assert refusal(firewall, "save config to free.set") == (
        f"{ERROR}\nwhat has errors cannot be saved, as it would not be the same\n"
    )
    assert run(firewall, "revert config") == (
        "Config reverted: the candidate is the running configuration\n"
    )
    assert run(firewall, "check pending-changes") == "no\n"


def test_a_valid_configuration(firewall: FakeManagement) -> None:
    assert run(firewall, "validate full") == f"{WARNING}\nConfiguration is valid\n"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("load config from running-config", "Config loaded from fw.set\n"),
        ("save config to free.set", "Config saved to free.set\n"),
        (
            "save config to old.set",
            "Config saved to old.set; what was there is old.set.previous now\n",
        ),
    ],
)
def test_files(firewall: FakeManagement, line: str, text: str) -> None:
    assert run(firewall, line) == text


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (
            "load config from nix",
            "nix: cannot be read: No such file or directory;"
            " the candidate configuration stays as it is\n",
        ),
        ("save config to /etc/passwd", "/etc/passwd: something else is there\n"),
        ("save config to full.set", "full.set: No space left on device\n"),
        (
            "save config to running-config",
            "running-config is what is in force: commit changes it, save writes a file\n",
        ),
    ],
)
def test_files_that_will_not_do(firewall: FakeManagement, line: str, text: str) -> None:
    assert refusal(firewall, line) == text


def test_one_commit_at_a_time(firewall: FakeManagement) -> None:
    run(firewall, "load config from new.set")
    firewall.is_committing = True
    assert refusal(firewall, "commit").startswith("Another commit is in progress. Please try again")
