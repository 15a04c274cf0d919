"""Handlers by type of event, in this process.

    @agent.bus.subscribe("anomaly.*")
    def on_anomaly(event): …

They run for what is published here, and for each event of `events()` once it
has been acked. A handler that fails is told of on stderr and takes nobody
along. The asynchronous bus is in `_bus_async`.
"""

from __future__ import annotations

from ._events import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, TypeVar

    Handler = Callable[[Any], Any]
    H = TypeVar("H", bound=Handler)

_COROUTINE = 0x80
"""The flag of `async def` among those of a code object (`inspect.CO_COROUTINE`)."""


class Subscriptions:
    """Who wants to hear of what."""

    def __init__(self) -> None:
        self._handlers: list[tuple[str, Handler]] = []

    def subscribe(self, type: str, handler: H | None = None) -> Any:
        """Has `handler` called with each event of this type, a glob; also a decorator."""

        def add(handler: H) -> H:
            self._check(handler)
            self._handlers = [*self._handlers, (type, handler)]
            return handler

        return add if handler is None else add(handler)

    def subscribe_all(self, handler: H) -> H:
        """Has `handler` called with every event; also a decorator."""
        added: H = self.subscribe("*", handler)
        return added

    def unsubscribe(self, handler: Handler) -> None:
        """Has it called no more."""
        self._handlers = [entry for entry in self._handlers if entry[1] != handler]

    def _check(self, handler: Handler) -> None:
        if not callable(handler):
            raise TypeError(f"a handler is a function, not {handler!r}")

    def _for(self, event: Any) -> Iterator[Handler]:
        """The handlers of an event, in the order they came."""
        for pattern, handler in self._handlers:
            if matches(pattern, str(event.get("type"))):
                yield handler


class Bus(Subscriptions):
    """The bus of `Agent`: handlers run one after the other, where the event is published."""

    def publish(self, event: Any) -> None:
        """Calls the handlers of an event."""
        for handler in self._for(event):
            try:
                handler(event)
            except Exception as error:
                tell(handler, f"an event of type {event.get('type')}", error)

    def _check(self, handler: Handler) -> None:
        super()._check(handler)
        if getattr(getattr(handler, "__code__", None), "co_flags", 0) & _COROUTINE:
            raise TypeError("Agent calls its handlers without await: use Runtime for an async def")


def tell(handler: Handler, about: str, error: BaseException) -> None:
    """Says on stderr that a handler has failed, and on what."""
    import traceback

    name = getattr(handler, "__qualname__", repr(handler))
    lines = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    say(f"the handler {name} failed on {about}\n{lines.rstrip()}")


def matches(pattern: str, text: str) -> bool:
    """Whether a glob fits: `*` is anything, `?` is one character."""
    if "*" not in pattern and "?" not in pattern:
        return pattern == text
    at = here = 0
    star, resume = -1, 0  # the last * and the first place it may end
    while here < len(text):
        if at < len(pattern) and pattern[at] == "*":
            star, resume = at, here
            at += 1
        elif at < len(pattern) and pattern[at] in ("?", text[here]):
            at, here = at + 1, here + 1
        elif star >= 0:
            resume += 1
            at, here = star + 1, resume
        else:
            return False
    return pattern[at:].strip("*") == ""
