"""Requests that are waited for on the wire itself, by the thread that makes them.

For the thread of an asyncio loop, too: it reads and hands out what comes for
the others, as whoever waits does (see `_core`), and the loop is none the wiser.
"""

from __future__ import annotations

import asyncio
import time

from ._patience import Patience, again

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._core import Core
    from ._requests import Request


def ask(core: Core, requests: list[Request], store_timeout: float) -> list[Any]:
    """The results of requests that leave in one write."""
    calls = [core.send(request) for request in requests]
    core.push()
    results = []
    for request, call in zip(requests, calls):
        core.wait(call)
        patience = Patience(store_timeout)
        while call.error is not None:
            delay = patience.delay(call.error)
            if delay is None:
                raise call.error
            time.sleep(delay)
            call = core.send(again(request))
            core.push()
            core.wait(call)
        results.append(call.result)
    return results


def may_wait_here(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the wire is this thread's to read: it is the loop's own, or the loop stands still."""
    if not loop.is_running():
        return True
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
