"""What the machine must offer, and the lines that say what is missing."""

from pathlib import Path

import pytest

from control.system import checks, hook
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


@pytest.mark.parametrize(
    ("tools", "uid", "expected"),
    [
        ("xtables-legacy-multi", 7, ["iptables is the legacy one, which root alone may use: "]),
        ("xtables-legacy-multi", 0, []),
        ("xtables-nft-multi", 7, []),
    ],
)
@in_namespace
def test_an_ordinary_user_needs_the_tools_of_today(
    tools: str, uid: int, expected: list[str]
) -> None:
    directory = Path("/run/tools")
    directory.mkdir()
    program = directory / tools
    program.touch(mode=0o755)
    for family in ("iptables", "ip6tables"):
        for part in ("save", "restore"):
            (directory / f"{family}-{part}").symlink_to(program)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hook, "SEARCH_PATH", str(directory))
        patch.setattr("os.geteuid", lambda: uid)
        found = checks.problems(PORTS[:1])
    assert len(found) == len(expected)
    assert all(line.startswith(start) for line, start in zip(found, expected, strict=True))
