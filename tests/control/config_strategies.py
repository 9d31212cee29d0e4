"""Hypothesis strategies: set commands and trees that have the schema's shape."""

from hypothesis import strategies as st

from control.config import schema
from control.config.elements import Container, Element, Kept, Leaf, NamedList
from control.config.set_syntax import apply
from control.config.tree import Tree
from control.config.words import Word, quote

TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=8)
NAME = st.sampled_from(["trust", "dmz", "a b", "any", "10.0.0.1", "ethernet1/1", "from", '"', "["])

Usable = Container | NamedList | Leaf | Kept


def _list(members: list[str]) -> Word:
    return Word(" ".join(("[", *map(quote, members), "]")), tuple(members))


@st.composite
def commands(draw: st.DrawFn) -> list[Word]:
    """The words behind `set`: right elements, any names and values."""
    words: list[Word] = []
    element: Element = schema.ROOT
    while True:
        match element:
            case Container(children=children):
                possible = sorted(
                    name for name, child in children.items() if isinstance(child, Usable)
                )
                if not possible or (words and draw(st.integers(0, 9)) == 0):
                    return words
                element = children[draw(st.sampled_from(possible))]
                words.append(Word(element.name))
            case NamedList(entry=entry):
                words.append(Word(draw(NAME | TEXT)))
                element = entry
            case Leaf(many=True):
                members = draw(st.lists(NAME | TEXT, max_size=4))
                return [*words, Word(members[0]) if len(members) == 1 else _list(members)]
            case Leaf():
                return [*words, Word(draw(NAME | TEXT))]
            case _:
                rest = draw(st.lists(TEXT.map(Word) | st.lists(TEXT).map(_list), max_size=4))
                return [*words, *rest]


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Trees as reading a file leaves them, with wrong values too."""
    tree = Tree()
    for line, words in enumerate(draw(st.lists(commands(), max_size=12)), start=1):
        apply(tree, words, line)
    return tree
