"""The table of commands, which parsing, completion, help and docs/cli.md come from."""

from __future__ import annotations

from control.cli.arguments import CONFIG_FILE, PATTERN
from control.cli.commands.clear import CLEAR
from control.cli.commands.set import SET
from control.cli.commands.show import SHOW
from control.cli.commands.test import TEST
from control.cli.tokens import Token, word

COMMANDS = word(
    "",
    "",
    word(
        "check",
        "Check something",
        word("pending-changes", "Whether the candidate configuration differs from the running one"),
    ),
    CLEAR,
    word("commit", "Make the candidate configuration the running one"),
    word("configure", "Configuration mode (not available in this version)"),
    word("exit", "Leave the command line"),
    word("help", "List the commands"),
    word(
        "load",
        "Load a configuration",
        word(
            "config",
            "Make a file the candidate configuration",
            word(
                "from",
                "Make a file the candidate configuration, or running-config",
                Token("file", "File of set commands", CONFIG_FILE),
            ),
        ),
    ),
    word("quit", "Leave the command line"),
    word(
        "revert",
        "Give changes up",
        word("config", "Make the running configuration the candidate again"),
    ),
    word(
        "save",
        "Save a configuration",
        word(
            "config",
            "Write the candidate configuration to a file",
            word(
                "to",
                "Write the candidate configuration to a file",
                Token("file", "File to write", CONFIG_FILE),
            ),
        ),
    ),
    SET,
    SHOW,
    TEST,
    word(
        "validate",
        "Check the candidate configuration",
        word("full", "Check what a commit would check, and change nothing"),
    ),
)

PIPES = word(
    "|",
    "Pipe through a command",
    word("count", "Print the number of lines"),
    word("except", "Print lines that do not match", Token("regex", "Pattern", PATTERN)),
    word("match", "Print lines that match", Token("regex", "Pattern", PATTERN)),
)
