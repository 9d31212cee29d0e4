"""Reading `set` commands into a tree, with every mistake and its line.

    set zone trust network layer3 [ ethernet1/1 ethernet1/2 ]
    set rulebase security rules out from trust to untrust source any action allow

A line goes down from the root; once an element has its value, the next word may be any other
element of the same entry. Setting a leaf replaces its value, setting a list adds members. Reading
goes on behind a mistake, and what could be understood of the line is in the tree, so that later
checks do not complain of its absence.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from control.config import schema
from control.config.elements import Container, Element, Kept, Leaf, NamedList, Refused
from control.config.errors import Problem, shown, suggestion
from control.config.tree import Tree
from control.config.words import Word, WordError, join, quote, split

MAX_LINE_BYTES = 1 << 20  # a list of 30,000 addresses fits
MAX_FILE_BYTES = 64 << 20

_MAX_PATH_WORD = 63


def parse(text: bytes) -> tuple[Tree, list[Problem]]:
    """The tree the commands of a file make, and what is wrong with them."""
    tree = Tree()
    if len(text) > MAX_FILE_BYTES:
        return tree, [
            Problem(0, "", f"longer than {MAX_FILE_BYTES >> 20} MiB; is this the right file?")
        ]
    if text.lstrip()[:1] == b"<":
        return tree, [Problem(1, "", "this is XML; a file of set commands is expected")]
    problems: list[Problem] = []
    for number, line in enumerate(text.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        problems += _file_line(tree, line, number)
    return tree, problems


def _file_line(tree: Tree, line: bytes, number: int) -> list[Problem]:
    if len(line) > MAX_LINE_BYTES:
        return [
            Problem(
                number,
                "",
                f"the line has {len(line)} bytes; at most {MAX_LINE_BYTES} are possible, "
                "repeat the command to add members to a list",
            )
        ]
    if line.lstrip(b" \t").startswith(b"#"):
        return []
    try:
        words = split(line.removesuffix(b"\r").decode())
    except UnicodeDecodeError as error:
        byte = line[error.start]
        return [
            Problem(number, "", f"byte 0x{byte:02x} in column {error.start + 1} is not UTF-8 text")
        ]
    except WordError as error:
        return [Problem(number, "", str(error))]
    if not words:
        return []
    if words[0] != Word("set"):
        instead = (
            suggestion(words[0].text, ["set"]) or "; each line is a set command or starts with #"
        )
        return [Problem(number, "", f"unknown command {shown(words[0].text)}{instead}")]
    return apply(tree, words[1:], number)


def apply(tree: Tree, words: list[Word], line: int = 0) -> list[Problem]:
    """Does what a set command with these words says, and says what is wrong with it."""
    return list(dict.fromkeys(_Command(tree, words, line).run()))


def remove(tree: Tree, path: tuple[str, ...]) -> bool:
    """Deletes what is there, and a named list with its last entry; False where there is nothing."""
    if not tree.delete(path):
        return False
    for depth in range(1, len(path)):
        node = tree.get(*path[:depth])
        if node and not node.children and isinstance(schema.element(*path[:depth]), NamedList):
            tree.delete(path[:depth])
    return True


def path_text(path: Iterable[str]) -> str:
    """A path for a message, whatever its words are."""
    return " ".join(
        quote(word)
        if len(word) <= _MAX_PATH_WORD and word.isprintable() and word.isascii()
        else shown(word)
        for word in path
    )


def number_problems(leaf: Leaf, values: Collection[str]) -> Iterator[str]:
    """What is wrong with a leaf having just these values."""
    if not values and not leaf.many:
        yield f"a value is missing: {leaf.type.right}"
    if len(values) > 1 and not leaf.many:
        yield _not_a_list(leaf)
    if len(values) > 1 and leaf.many:
        for value in values:
            if value in leaf.type.words:
                yield f"{value} stands alone; remove it or the others"


def _not_a_list(leaf: Leaf) -> str:
    return f"takes one value, not a list: {leaf.type.right}"


class _Scope(NamedTuple):
    """A container the line has entered."""

    container: Container
    node: Tree
    path: tuple[str, ...]


class _Command:
    """One set command on its way down the schema."""

    def __init__(self, tree: Tree, words: list[Word], line: int) -> None:
        self._words = words
        self._line = line
        self._position = 0
        self._scopes = [_Scope(schema.ROOT, tree, ())]
        self._floor = 1  # scopes below this index are not returned to
        self._complete = False  # something was said; elements of outer scopes may follow

    def run(self) -> Iterator[Problem]:
        if not self._words:
            yield self._problem((), f"set what? possible are {schema.ROOT.right()}")
        while (word := self._next()) is not None:
            scope = self._scope_of(word)
            if scope:
                yield from self._enter(scope, scope.container.children[word.text])
            else:
                yield self._unknown(word)

    def _next(self) -> Word | None:
        if self._position == len(self._words):
            return None
        self._position += 1
        return self._words[self._position - 1]

    def _problem(self, path: tuple[str, ...], message: str) -> Problem:
        return Problem(self._line, path_text(path), message)

    def _scope_of(self, word: Word) -> _Scope | None:
        """The innermost scope with an element of that name; scopes inside it are left."""
        lowest = self._floor if self._complete else len(self._scopes) - 1
        for index in range(len(self._scopes) - 1, min(lowest, len(self._scopes) - 1) - 1, -1):
            if word.members is None and word.text in self._scopes[index].container.children:
                del self._scopes[index + 1 :]
                return self._scopes[index]
        return None

    def _unknown(self, word: Word) -> Problem:
        """Reports it and goes to the next word that is an element here."""
        scope = self._scopes[-1]
        if self._complete and not scope.container.children:
            scope = self._scopes[self._floor]
        if word.members is None:
            problem = self._problem(scope.path, schema.unknown(word.text, scope.container))
        else:
            problem = self._problem(
                scope.path, f"a list stands here; possible are {scope.container.right()}"
            )
        self._complete = len(self._scopes) > 1
        while self._position < len(self._words) and not self._scope_of(self._words[self._position]):
            self._position += 1
        return problem

    def _enter(self, scope: _Scope, element: Element) -> Iterator[Problem]:
        path = (*scope.path, element.name)
        node = scope.node.ensure(element.name, self._line)
        match element:
            case Leaf():
                yield from self._set_leaf(element, node, path)
                self._complete = True
            case Container():
                self._scopes.append(_Scope(element, node, path))
                self._complete = not element.children
            case NamedList():
                yield from self._enter_entry(element, node, path)
            case Kept():
                rest = join(self._words[self._position :])
                if rest:
                    node.kept.setdefault(rest, self._line)
                self._position = len(self._words)
            case Refused():
                yield self._problem(path, element.why)
                self._position = len(self._words)

    def _enter_entry(
        self, element: NamedList, node: Tree, path: tuple[str, ...]
    ) -> Iterator[Problem]:
        word = self._next()
        if word is None:
            yield self._problem(
                path, f"the name of a {element.noun} is missing: {element.key.right}"
            )
            return
        if word.members is not None:
            yield self._problem(
                path, f"a list stands here; one name is expected: {element.key.right}"
            )
        elif problem := element.key.problem(word.text):
            yield self._problem(path, problem)
        path = (*path, word.text)
        self._scopes.append(_Scope(element.entry, node.ensure(word.text, self._line), path))
        self._floor = len(self._scopes) - 1
        self._complete = False

    def _set_leaf(self, leaf: Leaf, node: Tree, path: tuple[str, ...]) -> Iterator[Problem]:
        word = self._next()
        values = () if word is None else (word.text,) if word.members is None else word.members
        if word is not None and not leaf.many:
            node.values.clear()
            if word.members is not None:
                yield self._problem(path, _not_a_list(leaf))
        for message in number_problems(leaf, values):
            yield self._problem(path, message)
        for value in values:
            if problem := leaf.type.problem(value):
                yield self._problem(path, problem)
            node.values.setdefault(value, self._line)
