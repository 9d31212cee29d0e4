"""Numbers for names.

The engine knows zones, rules, applications and ports by number; a number keeps its meaning for the
life of the process, because live sessions carry it across commits.
"""


class Names:
    """Gives each name the next number, from 1; 0 is nobody's."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._names = [""]

    def number(self, name: str) -> int:
        """The name's number, a new one where it has none."""
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = len(self._names)
            self._names.append(name)
        return number

    def find(self, name: str) -> int | None:
        return self._numbers.get(name)

    def name(self, number: int) -> str:
        return self._names[number]

    def copy(self) -> "Names":
        """The same numbers; what is added to the one is not in the other."""
        other = Names()
        other._numbers, other._names = self._numbers.copy(), self._names.copy()
        return other

    def __len__(self) -> int:
        """Numbers given out, 0 included."""
        return len(self._names)
