"""The bus of `Runtime`: each handler is a task of its own, beside the program.

`publish` returns before any of them has begun: what the caller does up to its
next await comes first. `drain`, which `stop()` does, waits for them.
"""

from __future__ import annotations

import asyncio
import inspect

from ._bus import Subscriptions, tell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._bus import Handler


class AsyncBus(Subscriptions):
    """Handlers may be functions or coroutine functions."""

    def __init__(self) -> None:
        super().__init__()
        self._tasks: set[asyncio.Task[None]] = set()

    async def publish(self, event: Any) -> None:
        """Has the handlers of an event run, without waiting for them."""
        self.publish_nowait(event)

    def publish_nowait(self, event: Any) -> None:
        """The same, for where there is no await."""
        for handler in self._for(event):
            self.call(handler, event, f"an event of type {event.get('type')}")

    def call(self, handler: Handler, argument: Any, about: str) -> None:
        """Has one handler called; errors name what it is about."""
        task = asyncio.get_running_loop().create_task(_handle(handler, argument, about))
        self._tasks.add(task)  # the loop alone would let it be collected
        task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        """Waits for all handlers, those that they cause included."""
        here = asyncio.current_task()  # a handler may well be what ends the program
        while True:
            running = self._tasks - {here}
            if not running:
                return
            await asyncio.wait(running)


async def _handle(handler: Handler, argument: Any, about: str) -> None:
    try:
        outcome = handler(argument)
        if inspect.isawaitable(outcome):
            await outcome
    except Exception as error:
        tell(handler, about, error)
