"""Everything that is wrong with a tree, with lines: the schema element by element, then the whole.

A tree without errors compiles. Warnings say what is kept without effect, and what is odd.
"""

from __future__ import annotations

from collections.abc import Iterator

from control.config import schema
from control.config.elements import Container, Element, Kept, Leaf, NamedList, Refused
from control.config.errors import Problem, Severity, shown, suggestion
from control.config.forwarding_checks import forwarding_problems
from control.config.network_checks import network_problems
from control.config.policy_checks import policy_problems, unreachable_rules
from control.config.protection_checks import protection_problems
from control.config.qos import qos_problems
from control.config.set_syntax import number_problems, path_text
from control.config.translation_checks import translation_problems
from control.config.tree import Tree
from control.config.tunnels import tunnel_problems
from control.config.value_types import Reference, ValueType, looks_like_addresses

# Names compared in search of what was meant; with thousands of wrong ones nobody waits for it.
_MAX_COMPARISONS = 100_000


def validate(tree: Tree) -> list[Problem]:
    """In the order of their lines."""
    problems = _problems(tree)
    if not any(problem.severity == "error" for problem in problems):
        problems.update(unreachable_rules(tree))
    return sorted(problems)


def errors(tree: Tree) -> list[Problem]:
    """Why the tree cannot be compiled."""
    return sorted(problem for problem in _problems(tree) if problem.severity == "error")


def _problems(tree: Tree) -> set[Problem]:
    return {
        *_Walk(tree).run(),
        *network_problems(tree),
        *policy_problems(tree),
        *translation_problems(tree),
        *forwarding_problems(tree),
        *qos_problems(tree),
        *protection_problems(tree),
        *tunnel_problems(tree),
    }


class _Walk:
    """The tree beside the schema."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._comparisons = _MAX_COMPARISONS
        self._of_every: dict[tuple[str, ...], dict[str, Tree]] = {}

    def run(self) -> Iterator[Problem]:
        return self._container(schema.ROOT, self._tree, ())

    def _container(
        self, container: Container, node: Tree, path: tuple[str, ...]
    ) -> Iterator[Problem]:
        for name, child in node.children.items():
            element = container.children.get(name)
            if element is None:
                message = schema.unknown(name, container)
                yield Problem(child.line, path_text(path), message)
            else:
                yield from self._element(element, child, (*path, name))
        yield from _choices(container, node, path)
        missing = [child.name for child in container.children.values() if _is_missing(child, node)]
        if missing:
            yield Problem(node.line, path_text(path), f"missing: {', '.join(missing)}")

    def _element(self, element: Element, node: Tree, path: tuple[str, ...]) -> Iterator[Problem]:
        match element:
            case Leaf(enforced=False):
                yield _not_enforced(node, path)
            case Leaf():
                yield from self._leaf(element, node, path)
            case Container():
                yield from self._container(element, node, path)
            case NamedList():
                if not node.children:
                    message = f"the name of a {element.noun} is missing: {element.key.right}"
                    yield Problem(node.line, path_text(path), message)
                for name, entry in node.children.items():
                    here = (*path, name)
                    if problem := element.key.problem(name):
                        yield Problem(entry.line, path_text(path), problem)
                    yield from self._container(element.entry, entry, here)
            case Kept():
                count = f" ({len(node.kept)} commands)" if len(node.kept) > 1 else ""
                yield _not_enforced(node, path, count)
            case Refused():
                yield Problem(node.line, path_text(path), element.why)

    def _leaf(self, leaf: Leaf, node: Tree, path: tuple[str, ...]) -> Iterator[Problem]:
        where = path_text(path)
        for value, line in node.values.items():
            if problem := leaf.type.problem(value):
                yield Problem(line, where, problem)
            if leaf.type.reference:
                yield from self._reference(leaf.type, leaf.type.reference, value, line, where)
        last = max(node.values.values(), default=node.line)
        for message in number_problems(leaf, node.values):
            yield Problem(last, where, message)

    def _reference(
        self, type_: ValueType, to: Reference, value: str, line: int, where: str
    ) -> Iterator[Problem]:
        lists = [self._entries(path) for path in to.lists]
        if value in type_.words or value in to.predefined or any(value in names for names in lists):
            return
        severity: Severity = "error"
        if to.not_enforced and to.not_enforced.fullmatch(value):
            message, severity = f"not enforced: {shown(value)} is not a port", "warning"
        elif to.literal and looks_like_addresses(value):
            try:
                to.literal(value)
                return
            except ValueError as error:
                message = str(error)
        else:
            close = self._suggestion(value, lists, (*to.predefined, *type_.words))
            message = (
                f"{to.noun} {shown(value)} does not exist{close or f'; right is {type_.right}'}"
            )
        yield Problem(line, where, message, severity)

    def _entries(self, path: tuple[str, ...]) -> dict[str, Tree]:
        if "*" not in path:
            return self._tree.entries(*path)
        if path not in self._of_every:
            self._of_every[path] = self._tree.every(*path)
        return self._of_every[path]

    def _suggestion(self, value: str, lists: list[dict[str, Tree]], words: tuple[str, ...]) -> str:
        self._comparisons -= sum(map(len, lists))
        if self._comparisons < 0:
            return ""
        return suggestion(value, [*(name for names in lists for name in names), *words])


def _choices(container: Container, node: Tree, path: tuple[str, ...]) -> Iterator[Problem]:
    for choice in container.choices:
        made = [(name, child) for name, child in node.children.items() if name in choice.names]
        if choice.required and not made:
            names = [
                name
                for name in choice.names
                if not isinstance(container.children[name], Kept | Refused)
            ]
            yield Problem(node.line, path_text(path), f"missing: one of {', '.join(names)}")
        for name, other in made[1:]:
            message = f"{name} excludes {made[0][0]} (line {made[0][1].line}); delete one of them"
            yield Problem(other.line, path_text(path), message)


def _is_missing(element: Element, parent: Tree) -> bool:
    node = parent.children.get(element.name)
    match element:
        case Leaf(required=True):
            if element.unless and parent.value(element.unless[0]) == element.unless[1]:
                return False
            return node is None or (element.many and not node.values)
        case Container(required=True):
            return node is None
    return False


def _not_enforced(node: Tree, path: tuple[str, ...], count: str = "") -> Problem:
    """Without the values: some are secrets."""
    message = f"not enforced, kept without effect{count}"
    return Problem(node.line, path_text(path), message, "warning")
