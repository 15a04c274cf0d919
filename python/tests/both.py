"""Tests that run with either client, on the memory backend."""

import asyncio
import unittest

from adaptive_runtime import Agent, AsyncEvent, Runtime
from adaptive_runtime._memory import MemoryStore


class WithBoth(unittest.TestCase):
    """Each test runs with either client: `self.call` awaits where need be.

    What a test does in the middle of something is a generator that yields the
    outcomes of calls, and gets back what they come to.
    """

    def setUp(self):
        self.loop = asyncio.new_event_loop()
        self.addCleanup(self.loop.close)

    def clients(self, **options):
        for kind in (Agent, Runtime):
            self.store = MemoryStore()
            with self.subTest(kind=kind.__name__):
                client = self.begin(kind, **options)
                yield client
                self.call(client.stop())

    def begin(self, kind, **options):
        client = kind(backend=self.store, **options)
        if kind is Runtime:
            self.loop.run_until_complete(client.start())
        return client

    def call(self, outcome):
        if asyncio.iscoroutine(outcome) or asyncio.isfuture(outcome):

            async def awaited():
                return await outcome

            return self.loop.run_until_complete(awaited())
        return outcome

    def fails(self, kind, function, *args, **options):
        with self.assertRaises(kind) as caught:
            self.call(function(*args, **options))
        return caught.exception

    def over(self, client, body, **options):
        """Goes over the events to the end, `body` being the inside of their blocks."""
        if isinstance(client, Agent):
            for event in client.events(**options):
                with event:
                    _drive(body(event))
        else:
            self.call(_over(client, body, options))

    def next_event(self, client, **options):
        """One event, not in a block."""
        if isinstance(client, Agent):
            return next(client.events(**options))
        return self.call(client.events(**options).__anext__())

    def within(self, event, body):
        """A block."""
        if isinstance(event, AsyncEvent):
            return self.call(_within(event, body))
        with event:
            return _drive(body(event))


async def _over(runtime, body, options):
    async for event in runtime.events(**options):
        await _within(event, body)


async def _within(event, body):
    async with event:
        return await _drive_awaiting(body(event))


def _drive(steps):
    outcome = None
    try:
        while True:
            outcome = steps.send(outcome)
    except StopIteration as stop:
        return stop.value


async def _drive_awaiting(steps):
    try:
        outcome = steps.send(None)
        while True:
            try:
                value = await outcome
            except BaseException as error:
                outcome = steps.throw(error)
            else:
                outcome = steps.send(value)
    except StopIteration as stop:
        return stop.value
