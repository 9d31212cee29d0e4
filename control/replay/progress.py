"""A progress bar on standard error, where that is a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


class Bar:
    """Shows how much of the files was read, or of pipes how many packets; goes without a trace."""

    def __init__(self, files: Iterable[Path]) -> None:
        console = Console(stderr=True)
        files = list(files)
        is_known = all(file.is_file() for file in files)
        self._progress = Progress(
            BarColumn(),
            TextColumn("{task.fields[packets]:,} packets"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            disable=not console.is_terminal,
        )
        total = sum(file.stat().st_size for file in files) if is_known else None
        self._task = self._progress.add_task("", total=total, packets=0)

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, bytes_read: int, packets: int) -> None:
        self._progress.update(self._task, completed=bytes_read, packets=packets)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Out of the way, for somebody else to write to the terminal."""
        self._progress.stop()
        yield
        self._progress.start()
