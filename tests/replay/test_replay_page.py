"""docs/replay.md shows what the command really prints and takes."""

import sys
from pathlib import Path

import pytest

from control.main import main
from tests.support.private import ROOT, run
from tests.support.replays import records

EXAMPLE = ROOT / "docs" / "examples" / "esx"
PAGE = (ROOT / "docs" / "replay.md").read_text()


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """Of the page's first command."""
    path = tmp_path / "esx.pcap"
    run(f"cd {ROOT}; {sys.executable} {EXAMPLE}/make_capture.py {path}")
    return ["replay", str(path), "--config", str(EXAMPLE / "firewall.set")]


def test_the_table(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    assert f"```\n{capfd.readouterr().out}```\n" in PAGE


def test_every_field(arguments: list[str], capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main([*arguments, "--json"]) == 0
    entries, summary = records(capfdbinary.readouterr().out)
    for name in (*entries[0], *summary):
        assert f"`{name}`" in PAGE


def test_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["replay", "--help"])
    options = {word.strip("[,]") for word in capsys.readouterr().out.split() if "--" in word}
    assert len(options) > 5
    for option in options - {"--help"}:
        assert f"`{option}" in PAGE
