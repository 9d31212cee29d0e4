"""How structs of engine.h are read and filled, one at a time and by the thousand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from struct import Struct
from typing import Any, NamedTuple, TypeVar

from native._engine import ffi

T = TypeVar("T")
N = TypeVar("N", bound=NamedTuple)


def text(value: Any) -> str:
    """A string of C's; one that quotes a file's name may have any bytes."""
    result: str = ffi.string(value).decode(errors="replace")
    return result


def record(name: str, layout: str) -> Struct:
    """The layout of a struct that comes by the thousand and is unpacked at once: a field read
    through cffi costs as much as a whole record this way."""
    result = Struct(f"@{layout}")
    assert result.size == ffi.sizeof(f"struct {name}"), f"struct {name} has changed"
    return result


def records(layout: Struct, array: Any, count: int) -> Iterator[tuple[Any, ...]]:
    """The first records of an array, unpacked."""
    return layout.iter_unpack(ffi.buffer(array, count * layout.size))


def read(kind: type[N], raw: Any, **known: Any) -> N:
    """A tuple of the struct's fields of the same names, but for what is known already."""
    return kind._make(known[name] if name in known else getattr(raw, name) for name in kind._fields)


def fill(raw: Any, values: NamedTuple, names: Iterable[str]) -> None:
    """Gives the struct's fields of these names their values."""
    for name in names:
        setattr(raw, name, getattr(values, name))


def table(name: str, items: Sequence[T], fill_one: Callable[[Any, T], None]) -> Any:
    """An array with a struct for each item; C has no empty ones."""
    raw = ffi.new(f"struct {name}[]", max(len(items), 1))
    for place, item in zip(raw, items, strict=False):
        fill_one(place, item)
    return raw
