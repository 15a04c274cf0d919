"""Versions of what the program keeps in its state, and the way from one to the next.

The number is kept in the state itself, as its top-level member `_schema`, so
that every snapshot carries its own: going back to an old checkpoint brings
the old number back, and the migrations run again.

A migration takes the state as a dict of its own, changes it or returns
another; all that are due run, and then one `state.set` puts result and number
down together. Before that a checkpoint labelled `schema N` is taken, which is
where older code can go back to.
"""

from __future__ import annotations

from . import _errors, _requests
from ._state import thaw

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from typing import Any, Optional

    from ._requests import Request
    from ._results import StartInfo
    from ._state import Mirror

    Migration = Callable[[dict[str, Any]], Optional[dict[str, Any]]]

MEMBER = "_schema"


def label(number: int) -> str:
    """What the checkpoint of a state before it is migrated is called."""
    return f"schema {number}"


def keep(value: Any, schema: int | None) -> Any:
    """A whole new state, with the number in it."""
    if schema is None or not isinstance(value, dict) or MEMBER in value:
        return value
    return {**value, MEMBER: schema}


def migrate(
    mirror: Mirror,
    schema: int | None,
    migrations: Mapping[int, Migration],
    info: StartInfo | None,
) -> Generator[Request, Any, None]:
    """Brings the state to the program's schema."""
    if schema is None:
        if migrations:
            raise ValueError("migrations need schema=, the number they lead to")
        return
    state = mirror.value
    # A state from before the program had schemas is of the first.
    stored = state.get(MEMBER, 1 if state else schema)
    if isinstance(stored, bool) or not isinstance(stored, int):
        raise ValueError(f"the state's member {MEMBER} is {stored!r} and should be a number")
    if stored > schema:
        listed = yield _requests.checkpoints()
        raise _too_new(stored, schema, listed["checkpoints"], info)
    if stored == schema:
        if MEMBER not in state:
            yield _requests.patch({MEMBER: schema}, "shallow", mirror.version)
        return
    missing = [n for n in range(stored + 1, schema + 1) if n not in migrations]
    if missing:
        raise _errors.MigrationMissing(
            f"the state has schema {stored} and the program {schema}: there is no migration to "
            f"{', '.join(map(str, missing))}; pass migrations={{{missing[0]}: function, …}}"
        )
    value = thaw(state)
    for number in range(stored + 1, schema + 1):
        changed = migrations[number](value)
        value = value if changed is None else changed
    value[MEMBER] = schema
    version = mirror.version
    yield _requests.checkpoint(label(stored))
    yield _requests.replace(value, version)


def _too_new(
    stored: int, schema: int, checkpoints: list[dict[str, Any]], info: StartInfo | None
) -> _errors.SchemaTooNew:
    agent = info.agent if info is not None and info.agent else "AGENT"
    for checkpoint in checkpoints:  # newest first
        if checkpoint.get("label") == label(schema):
            number = checkpoint["id"]
            way_back = (
                f"or go back to checkpoint {number}, taken before it was migrated: "
                f"adrt checkpoints restore {agent} {number}"
            )
            data = {"checkpoint": number}
            break
    else:
        way_back = f"or choose a checkpoint to go back to: adrt checkpoints list {agent}"
        data = {}
    return _errors.SchemaTooNew(
        f"the state has schema {stored}, and this program knows {schema} at most: "
        f"run the newer program, {way_back}",
        data={"schema": stored, **data},
    )
