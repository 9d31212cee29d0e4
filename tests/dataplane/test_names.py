"""Numbers for names."""

from hypothesis import given
from hypothesis import strategies as st

from dataplane.names import Names


@given(st.lists(st.text(max_size=3), max_size=40))
def test_numbers_stay(words: list[str]) -> None:
    names = Names()
    numbers: dict[str, int] = {}
    for word in words:
        number = names.number(word)
        assert numbers.setdefault(word, number) == number
        assert names.name(number) == word
    assert sorted(numbers.values()) == list(range(1, len(numbers) + 1))
    assert len(names) == len(numbers) + 1
    assert all(names.find(word) == number for word, number in numbers.items())


def test_nobody() -> None:
    names = Names()
    assert names.name(0) == ""
    assert names.find("trust") is None
    assert len(names) == 1


def test_a_copy_goes_its_own_way() -> None:
    names = Names()
    names.number("trust")
    copy = names.copy()
    assert copy.number("dmz") == 2
    assert copy.find("trust") == 1
    assert names.find("dmz") is None
    assert names.number("untrust") == 2
