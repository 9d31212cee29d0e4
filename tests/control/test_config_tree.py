"""control/config/tree.py: the tree as a value."""

import pytest
from hypothesis import given

from control.config.set_syntax import parse
from control.config.tree import Tree
from tests.control.config_strategies import trees


def sample() -> Tree:
    tree = Tree()
    tree.set(("zone", "trust", "network", "layer3"), "ethernet1/1", "ethernet1/2", line=3)
    tree.set(("zone", "dmz"), line=4)
    tree.set(("address", "a b", "ip-netmask"), "192.0.2.1", line=5)
    tree.ensure("tag").kept["servers color color3"] = 6
    tree.ensure("tag").kept["servers comments x"] = 7
    return tree


def test_lines() -> None:
    assert list(sample().lines()) == [
        "set zone trust network layer3 [ ethernet1/1 ethernet1/2 ]",
        "set zone dmz",
        'set address "a b" ip-netmask 192.0.2.1',
        "set tag servers color color3",
        "set tag servers comments x",
    ]


def test_reading() -> None:
    tree = sample()
    assert tree.value("address", "a b", "ip-netmask") == "192.0.2.1"
    assert tree.value("address", "other", "ip-netmask") is None
    assert tree.members("zone", "trust", "network", "layer3") == {
        "ethernet1/1": 3,
        "ethernet1/2": 3,
    }
    assert list(tree.entries("zone")) == ["trust", "dmz"]
    assert tree.entries("service") == {}
    assert tree.get("zone", "dmz", "network") is None
    zone = tree.get("zone", "dmz")
    assert zone is not None
    assert zone.line == 4


@pytest.mark.parametrize(
    ("path", "gone"),
    [
        ("zone dmz", "set zone dmz"),
        ("address", 'set address "a b" ip-netmask 192.0.2.1'),
        ("tag servers comments", "set tag servers comments x"),
        ("tag servers comments x", "set tag servers comments x"),
    ],
)
def test_delete(path: str, gone: str) -> None:
    tree = sample()
    before = list(tree.lines())
    assert tree.delete(tuple(path.split()))
    assert set(before) - set(tree.lines()) == {gone}


def test_deleting_a_member_leaves_the_others() -> None:
    tree = sample()
    layer3 = ("zone", "trust", "network", "layer3")
    assert tree.delete((*layer3, "ethernet1/1"))
    assert tree.members(*layer3) == {"ethernet1/2": 3}
    assert tree.delete((*layer3, "ethernet1/2"))
    assert tree.get(*layer3) is None
    assert tree.get(*layer3[:-1]) is not None


@pytest.mark.parametrize(
    "path",
    [
        (),
        ("nothing",),
        ("zone", "none"),
        ("zone", "trust", "network", "layer3", "ethernet1/9"),
        ("tag", "serv"),
        ("zone", "trust", "network", "layer3", "ethernet1/1", "more"),
    ],
)
def test_deleting_what_is_not_there(path: tuple[str, ...]) -> None:
    tree = sample()
    assert not tree.delete(path)
    assert tree == sample()


def test_equality_ignores_lines_and_heeds_order() -> None:
    first, second, third = Tree(), Tree(), Tree()
    first.set(("zone", "a"), line=1)
    first.set(("zone", "b"), line=2)
    second.set(("zone", "a"), line=8)
    second.set(("zone", "b"), line=9)
    third.set(("zone", "b"))
    third.set(("zone", "a"))
    assert first == second
    assert first != third
    assert first != "set zone a"
    assert (first == object()) is False


@given(trees())
def test_lines_make_the_same_tree(tree: Tree) -> None:
    text = "\n".join(tree.lines())
    again, _ = parse(text.encode())
    assert again == tree
    assert list(again.lines()) == text.split("\n") if text else again == Tree()
