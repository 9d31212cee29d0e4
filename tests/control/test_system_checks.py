"""What the machine must offer, and the lines that say what is missing."""

from pathlib import Path

import pytest

from control.system import checks
from dataplane.snapshot import Port
from tests.support.private import in_namespace

PORTS = [
    Port(f"ethernet1/{number}", f"eth{number}", "zone", (), True, "", mode=mode)
    for number, mode in enumerate(("layer3", "layer2", "tap"), start=1)
]


@in_namespace
def test_nothing_is_missing_here() -> None:
    assert checks.problems(PORTS) == []


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, []),
        (
            3,
            [
                "ethernet1/2, ethernet1/3: the kernel cannot filter what is bridged: "
                "load that with 'modprobe br_netfilter'"
            ],
        ),
    ],
)
@in_namespace
def test_bridged_ports_need_bridge_netfilter(count: int, expected: list[str]) -> None:
    asked: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checks, "_BRIDGES", Path("/nowhere"))
        patch.setattr(checks, "_load", asked.append)
        assert checks.problems(PORTS[:count]) == expected
    assert asked == ["br_netfilter"] * len(expected)
