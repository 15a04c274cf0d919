"""Several requests at once, from synchronous and asynchronous code, for either client.

What a framework calls is not ours to choose: its synchronous half comes from
worker threads, or from the very thread of the loop; its asynchronous half may
have an `Agent` under it. A batch flow yields lists of requests and is sent
the list of their results.
"""

from __future__ import annotations

import asyncio

from ._blocking import ask, may_wait_here
from .agent import Agent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any, TypeVar, Union

    from ._requests import Request
    from .runtime import Runtime

    T = TypeVar("T")
    Batch = list[Request]
    BatchFlow = Generator[Batch, list[Any], T]
    Client = Union[Agent, Runtime]


def run(client: Client, flow: BatchFlow[T]) -> T:
    """Carries out a flow and waits."""
    if not isinstance(client, Agent):
        loop = client._driver.loop
        if not may_wait_here(loop):
            return asyncio.run_coroutine_threadsafe(run_async(client, flow), loop).result()
    try:
        batch = next(flow)
        while True:
            batch = flow.send(_ask(client, batch))
    except StopIteration as stop:
        result: T = stop.value
        return result


async def run_async(client: Client, flow: BatchFlow[T]) -> T:
    """Carries out a flow on the loop."""
    if isinstance(client, Agent):
        return run(client, flow)  # holds up the loop, as whoever uses an Agent there expects
    try:
        batch = next(flow)
        while True:
            batch = flow.send(await asyncio.gather(*map(client._answer, batch)))
    except StopIteration as stop:
        result: T = stop.value
        return result


def _ask(client: Client, batch: Batch) -> list[Any]:
    if isinstance(client, Agent):
        if len(batch) == 1:
            return [client._call(batch[0])]
        return ask(client._core, batch, client.store_timeout)
    return ask(client._driver.core, batch, client.store_timeout)
