"""`sixtuple check FILE`: everything that is wrong with a configuration file, as lines to print."""

from __future__ import annotations

import os

from control.config import paths
from control.config.load import UnreadableError, load_config, read_file, shown_name
from control.config.network import interfaces


def check_file(path: str | os.PathLike[str]) -> tuple[list[str], int]:
    """Lines to print, and the exit status: 0 valid, 2 not."""
    name = shown_name(path)
    try:
        text = read_file(path)
    except UnreadableError as error:
        return [str(error)], 2
    config = load_config(text, name)
    lines = [problem.text(name) for problem in config.problems]
    if config.errors:
        counts = f"{len(config.errors)} errors, {len(config.warnings)} warnings"
        return [*lines, f"{name}: {counts}"], 2
    rules = len(config.tree.entries(*paths.SECURITY_RULES))
    zones = len(config.tree.entries("zone"))
    counts = f"{rules} rules, {zones} zones, {len(interfaces(config.tree))} interfaces"
    return [*lines, f"{name}: configuration is valid ({counts})"], 0
