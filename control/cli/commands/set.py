"""What can be changed at once, and does not last."""

from __future__ import annotations

from control.cli.arguments import ON_OFF, YES_NO
from control.cli.commands.parts import additional_threat_log
from control.cli.tokens import Token, word

SET = word(
    "set",
    "Change settings of the running firewall and of this command line",
    word(
        "cli",
        "Command line settings",
        word("pager", "Show long output a page at a time", Token("pager", "Pager", ON_OFF)),
    ),
    word(
        "session",
        "Session settings, at once and not lasting",
        word(
            "offload",
            "Whether sessions may be in the offload engine",
            Token("offload", "Offload", YES_NO),
        ),
    ),
    word(
        "system",
        "System settings, at once and not lasting",
        additional_threat_log(Token("threats", "Additional threat log", ON_OFF)),
    ),
)
