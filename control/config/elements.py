"""What a schema is made of.

A *container* has named elements, a *named list* has entries that an administrator names, a *leaf*
has a value or, with `many`, members. A *kept* element belongs to a real device's configuration and
is stored as written, without effect; a *refused* one would change what the rest of the
configuration means if it were only stored, so it is an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from control.config.value_types import ANYTHING, ValueType


@dataclass(frozen=True, slots=True)
class Leaf:
    name: str
    help: str
    type: ValueType
    default: str = ""  # what holds where it is not written; "" where nothing does
    many: bool = False
    required: bool = False
    unless: tuple[str, str] | None = None  # sibling and value with which it is not required
    enforced: bool = True


@dataclass(frozen=True, slots=True)
class Choice:
    """Sibling elements that exclude each other."""

    names: tuple[str, ...]
    required: bool = False


@dataclass(frozen=True, slots=True)
class Container:
    name: str
    help: str
    children: Mapping[str, Element] = field(default_factory=dict)
    choices: tuple[Choice, ...] = ()
    required: bool = False

    def right(self) -> str:
        """What may stand here, for a message: the elements that have an effect."""
        names = [name for name, child in self.children.items() if is_enforced(child)]
        return ", ".join(names or self.children)


@dataclass(frozen=True, slots=True)
class NamedList:
    name: str
    help: str
    noun: str
    key: ValueType
    entry: Container


@dataclass(frozen=True, slots=True)
class Kept:
    name: str


@dataclass(frozen=True, slots=True)
class Refused:
    name: str
    why: str  # and what to write instead


Element = Leaf | Container | NamedList | Kept | Refused


def is_enforced(element: Element) -> bool:
    return not isinstance(element, Kept | Refused) and (
        not isinstance(element, Leaf) or element.enforced
    )


def container(
    name: str,
    help: str,
    *children: Element | Iterable[Element],
    choices: tuple[Choice, ...] = (),
    required: bool = False,
) -> Container:
    return Container(name, help, _by_name(children), choices, required)


def named_list(
    name: str,
    help: str,
    noun: str,
    key: ValueType,
    *children: Element | Iterable[Element],
    choices: tuple[Choice, ...] = (),
) -> NamedList:
    return NamedList(name, help, noun, key, Container(noun, help, _by_name(children), choices))


def kept(*names: str) -> list[Element]:
    """Subtrees without effect."""
    return [Kept(name) for name in names]


def kept_leaves(*names: str, many: bool = False) -> list[Element]:
    """Leaves without effect, beside which others may stand on the same line."""
    return [Leaf(name, "", ANYTHING, many=many, enforced=False) for name in names]


def _by_name(children: Iterable[Element | Iterable[Element]]) -> dict[str, Element]:
    def flat() -> Iterator[Element]:
        for child in children:
            if isinstance(child, Leaf | Container | NamedList | Kept | Refused):
                yield child
            else:
                yield from child

    return {child.name: child for child in flat()}
