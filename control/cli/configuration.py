"""The candidate configuration: loaded, shown, saved, validated, committed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from control import candidate
from control.cli.answers import RefusedError
from control.config.load import UnreadableError
from control.management import CommitError, Committed, Management

_KEPT = "the running configuration stays as it is"


async def load(management: Management, name: str) -> str:
    try:
        loaded = await management.load_config(name)
    except UnreadableError as error:
        raise RefusedError(f"{error}; the candidate configuration stays as it is") from None
    lines = [f"Config loaded from {loaded.name}"]
    if loaded.errors:
        lines.append(f"Errors: {loaded.errors}; commit refuses it, validate full lists them")
    elif loaded.warnings:
        lines.append(f"Warnings: {loaded.warnings}; validate full lists them")
    return _text(lines)


async def save(management: Management, name: str) -> str:
    if name == candidate.RUNNING:
        raise RefusedError(f"{name} is what is in force: commit changes it, save writes a file")
    try:
        path, previous = await management.save_config(name)
    except CommitError as error:
        errors = "what has errors cannot be saved, as it would not be the same"
        raise RefusedError(_text([*error.lines, errors]).rstrip()) from None
    except UnreadableError as error:
        raise RefusedError(f"{error}; choose another name") from None
    except OSError as error:
        raise RefusedError(f"{error.filename or name}: {error.strerror}") from None
    kept = f"; what was there is {previous} now" if previous else ""
    return f"Config saved to {path}{kept}\n"


def revert(management: Management) -> str:
    management.revert_config()
    return "Config reverted: the candidate is the running configuration\n"


async def validate(management: Management) -> str:
    try:
        warnings = await management.validate_config()
    except CommitError as error:
        raise RefusedError(_text([*error.lines, "Validation failed"]).rstrip()) from None
    return _text([*warnings, "Configuration is valid"])


async def commit(management: Management) -> AsyncIterator[str]:
    """What is done while it is done."""
    if not management.has_pending_changes():
        yield "There are no changes to commit.\n"
        return
    steps: asyncio.Queue[str | None] = asyncio.Queue()
    committing = asyncio.ensure_future(management.commit(steps.put_nowait))
    committing.add_done_callback(lambda done: steps.put_nowait(None))
    try:
        while (step := await steps.get()) is not None:
            yield f"{step} ...\n"
        committed = await committing
    except CommitError as error:
        raise RefusedError(_text([*error.lines, f"Commit failed, {_KEPT}"]).rstrip()) from None
    finally:
        committing.cancel()  # the commit itself goes on
    yield _success(committed)


def _success(committed: Committed) -> str:
    done = f"Configuration committed successfully in {committed.seconds:.1f} seconds"
    return _text([done, *(["Warnings:"] if committed.warnings else []), *committed.warnings])


async def differences(management: Management) -> str:
    old, new = management.config_lines(), management.candidate_lines()
    return _text(await asyncio.to_thread(lambda: [*candidate.differences(old, new)]))


def pending(management: Management) -> str:
    return "yes\n" if management.has_pending_changes() else "no\n"


def _text(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
