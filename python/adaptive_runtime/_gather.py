"""What is done inside an event's block, kept together until its ack.

```
   async with ev:                         on the wire, when the block is left
       await runtime.patch({…})    ─┐
       await runtime.emit({…})      ├──►  event.ack {patch, emit, kv}   one transaction
       await runtime.kv.put(…)     ─┘
```

Until then the block sees its own changes (`view`), and nobody else does. An
exception drops them. Which event a call belongs to is told by a context
variable, so several may be handled at once, each in a task or thread.

Not gathered, since they stand for themselves: changes with a `key` (once for
ever, whatever becomes of this event), checkpoints, restores, and steps, which
are remembered because they happened, and not because the event was acked.
"""

from __future__ import annotations

from contextvars import ContextVar

from ._errors import PatchFailed
from ._json import decode
from ._state import changed, freeze

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._link import Link
    from ._requests import Request
    from ._state import StateDict

_current: ContextVar[Gathering | None] = ContextVar("adrt_gathering", default=None)


class Gathering:
    """The changes of one event under way."""

    __slots__ = (
        "_applied",
        "_base",
        "_view",
        "before",
        "entries",
        "event",
        "guard",
        "link",
        "open",
        "requests",
    )

    def __init__(self, link: Link, event: Any) -> None:
        self.link = link
        self.event = event
        self.open = False
        self.before: Gathering | None = None
        self.drop()

    def drop(self) -> None:
        """Forgets the changes, and takes no more."""
        self.open = False
        self.requests: list[Request] = []
        self.guard: int | None = None
        self.entries: dict[tuple[str, str], Any] = {}
        """Key-value writes by (ns, key): `ABSENT` where it is deleted."""
        self._view: Any = None
        self._base = -1  # the version that `_view` is built on
        self._applied = 0  # requests that are in `_view`

    def enter(self) -> None:
        """From here on this task's (or thread's) changes come here."""
        self.before = _current.get()
        self.open = True
        _current.set(self)

    def leave(self) -> None:
        """The end of the block; what was gathered stays to be taken."""
        self.open = False
        _current.set(self.before)

    def add(self, request: Request) -> None:
        """Takes a change. One that can be seen to fail, fails here."""
        if request.guard is not None:
            if self.guard not in (None, request.guard):
                raise ValueError("an event's changes go together, and have one if_version")
            self.guard = request.guard
        self.requests.append(request)
        if request.effect and request.effect[0][0] == "json":
            try:
                self.view()
            except PatchFailed:
                self.requests.remove(request)
                self._view = None
                raise

    def put(self, request: Request, ns: str, key: str, value: Any) -> None:
        """Takes a key-value write."""
        self.requests.append(request)
        self.entries[ns, key] = value

    def view(self) -> StateDict:
        """The state as it will be. Costs what the changes cost, not the whole state."""
        mirror = self.link.mirror
        if self._view is None or self._base != mirror.version:
            self._view, self._base, self._applied = mirror.value, mirror.version, 0
        view: StateDict = self._view
        for request in self.requests[self._applied :]:
            for format, text in request.effect or ():
                view = changed(view, format, decode(text), freeze)
        self._view, self._applied = view, len(self.requests)
        return view


ABSENT = object()


def current(link: Link) -> Gathering | None:
    """What gathers the changes made here, if anything does."""
    gathering = _current.get()
    if gathering is not None and gathering.open and gathering.link is link:
        return gathering
    return None
