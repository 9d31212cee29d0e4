"""control/config/words.py: splitting and writing lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.config.words import Word, WordError, join, quote, split

TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs")))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        (" \t ", []),
        ("set  zone\ttrust ", [Word("set"), Word("zone"), Word("trust")]),
        ('"a b"', [Word("a b")]),
        ('""', [Word("")]),
        (r'"say \"hi\" \\ \n"', [Word(r'say "hi" \ \n')]),
        ("DOMAIN\\name", [Word("DOMAIN\\name")]),
        ("5'11\"", [Word("5'11\"")]),
        ("port[1]", [Word("port[1]")]),
        ("[ a b ] c", [Word("[ a b ]", ("a", "b")), Word("c")]),
        ("[a b]c", [Word("[ a b ]", ("a", "b")), Word("c")]),
        ('[ "a b" ]', [Word('[ "a b" ]', ("a b",))]),
        ('["a"]', [Word("[ a ]", ("a",))]),
        ("[ ]", [Word("[ ]", ())]),
        ('"[" "]"', [Word("["), Word("]")]),
        ("caf\u00e9", [Word("caf\u00e9")]),
    ],
)
def test_split(line: str, words: list[Word]) -> None:
    assert split(line) == words


@pytest.mark.parametrize(
    ("line", "fragment"),
    [
        ('a "b', "the quote opened in column 3 is not closed"),
        ('"a\\"', "the quote opened in column 1 is not closed"),
        ('"a"b', "a blank is missing after the quote closed in column 3"),
        ('"a"]', "a blank is missing after the quote closed in column 3"),
        ("a [ b", "the list opened in column 3 is not closed"),
        ("[ a [ b ] ]", "a list inside a list in column 5"),
        ("a ]", '"]" without "[" in column 3'),
        ("a\0b", "control character '\\x00' in column 2"),
        ("a\x1b[31m", "control character '\\x1b' in column 2"),
        ("a\x85", "control character '\\x85' in column 2"),
    ],
)
def test_a_line_that_cannot_be_split(line: str, fragment: str) -> None:
    with pytest.raises(WordError) as raised:
        split(line)
    assert fragment in str(raised.value)


@given(st.lists(TEXT))
def test_quoted_words_come_back(texts: list[str]) -> None:
    assert split(" ".join(map(quote, texts))) == [Word(text) for text in texts]


@given(TEXT)
def test_writing_is_stable(line: str) -> None:
    try:
        words = split(line)
    except WordError:
        return
    assert split(join(words)) == words


def test_a_long_quoted_word_is_no_problem() -> None:
    text = '\\" ' * 300_000
    assert split(f'"{text}"') == [Word('" ' * 300_000)]
