"""docs/cli.md says what the table of commands says."""

from __future__ import annotations

from pathlib import Path

from control.cli import manual

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == manual.markdown(), "python -m control.cli.manual > docs/cli.md"
