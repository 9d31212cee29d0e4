"""The configuration as a value: nested named nodes that remember the line they came from.

A tree knows nothing of the schema. A node has children (an element's elements, a list's entries),
values (a leaf's one value or its members), or the text of what was kept without being understood;
the order of each is the order in which it was written, and counts: rules are matched in it.
"""

from __future__ import annotations

from collections.abc import Iterator

from control.config.words import Word, join, quote, write_values


class Tree:
    """A node and everything below it."""

    __slots__ = ("children", "kept", "line", "values")

    def __init__(self, line: int = 0) -> None:
        self.line = line  # where it was first written; 0 where it was not read from a file
        self.children: dict[str, Tree] = {}
        self.values: dict[str, int] = {}  # value -> line
        self.kept: dict[str, int] = {}  # rest of a command, as written back -> line

    def __eq__(self, other: object) -> bool:
        """Says the same in the same order, wherever it was written."""
        if not isinstance(other, Tree):
            return NotImplemented
        return (
            list(self.children.items()) == list(other.children.items())
            and list(self.values) == list(other.values)
            and list(self.kept) == list(other.kept)
        )

    def get(self, *path: str) -> Tree | None:
        node: Tree | None = self
        for name in path:
            node = node.children.get(name) if node else None
        return node

    def entries(self, *path: str) -> dict[str, Tree]:
        """The children of the node there; none where there is no such node."""
        node = self.get(*path)
        return node.children if node else {}

    def every(self, *path: str) -> dict[str, Tree]:
        """The children of all nodes there; a "*" in the path stands for any name."""
        nodes = [self]
        for name in path:
            if name == "*":
                nodes = [child for node in nodes for child in node.children.values()]
            else:
                nodes = [node.children[name] for node in nodes if name in node.children]
        return {name: child for node in nodes for name, child in node.children.items()}

    def members(self, *path: str) -> dict[str, int]:
        """The values of the node there with their lines; none where there is no such node."""
        node = self.get(*path)
        return node.values if node else {}

    def value(self, *path: str) -> str | None:
        """The value of the leaf there."""
        return next(iter(self.members(*path)), None)

    def ensure(self, name: str, line: int = 0) -> Tree:
        """The child of that name, made where there is none."""
        if name not in self.children:
            self.children[name] = Tree(line)
        return self.children[name]

    def set(self, path: tuple[str, ...], *values: str, line: int = 0) -> Tree:
        """Makes the node there and adds the values."""
        node = self
        for name in path:
            node = node.ensure(name, line)
        for value in values:
            node.values.setdefault(value, line)
        return node

    def delete(self, path: tuple[str, ...]) -> bool:
        """Removes the node, the value or the kept text there; False where there is none.

        A leaf goes with its last value.
        """
        node = self
        for depth, name in enumerate(path):
            rest = path[depth:]
            if name in node.children and len(rest) == 1:
                del node.children[name]
                return True
            if name not in node.children:
                return node._delete_here(rest)
            child = node.children[name]
            if len(rest) == 2 and list(child.values) == [rest[1]]:
                del node.children[name]
                return True
            node = child
        return False

    def _delete_here(self, rest: tuple[str, ...]) -> bool:
        if len(rest) == 1 and rest[0] in self.values:
            del self.values[rest[0]]
            return True
        text = join(Word(name) for name in rest)
        below = [kept for kept in self.kept if kept == text or kept.startswith(text + " ")]
        for kept in below:
            del self.kept[kept]
        return bool(below)

    def lines(self) -> Iterator[str]:
        """The set commands that make this tree."""
        return self._lines("set")

    def _lines(self, prefix: str) -> Iterator[str]:
        for name, child in self.children.items():
            path = f"{prefix} {quote(name)}"
            if child.values:
                yield f"{path} {write_values(child.values)}"
            elif not child.children and not child.kept:
                yield path
            yield from child._lines(path)
            for kept in child.kept:
                yield f"{path} {kept}"
