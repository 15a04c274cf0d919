"""A conversation in the key-value store."""

import asyncio
import unittest

from adaptive_runtime import Agent, Runtime
from adaptive_runtime._memory import MemoryStore
from adaptive_runtime.openai_agents import AdrtSession
from both import WithBoth
from test_events import Quiet

try:
    from agents.memory import Session
except ImportError as error:
    Session = None
    WHY_NOT = f"openai-agents is not installed: {error}"
else:
    WHY_NOT = ""


def said(text):
    return {"role": "user", "content": text}


class Sessions(Quiet, WithBoth):
    def test_a_conversation(self):
        for client in self.clients():
            session, other = AdrtSession(client, "a/b"), AdrtSession(client, "a")
            self.call(session.add_items([said("1"), said("2")]))
            self.call(session.add_items([said("3")]))
            self.call(other.add_items([said("x")]))
            self.assertEqual(self.call(session.get_items()), [said("1"), said("2"), said("3")])
            self.assertEqual(self.call(session.get_items(2)), [said("2"), said("3")])
            self.assertEqual(self.call(session.pop_item()), said("3"))
            self.call(session.add_items([said("4")]))
            again = AdrtSession(client, "a/b")
            self.assertEqual(len(self.call(again.get_items())), 3)
            self.call(session.clear_session())
            self.assertEqual(self.call(session.get_items()), [])
            self.assertIsNone(self.call(session.pop_item()))
            self.assertEqual(self.call(other.get_items()), [said("x")])


    def test_a_turn_that_fails_has_never_been(self):
        store = MemoryStore()
        store.ends_when_idle = True
        store.emit({"type": "message", "text": "hello"})

        async def main():
            async with Runtime(backend=store) as runtime:
                async for event in runtime.events():
                    async with event:
                        session = AdrtSession(runtime, "ada")
                        self.assertEqual(await session.get_items(), [])
                        await session.add_items([said(event["text"])])
                        self.assertEqual(len(await session.get_items()), 1)
                        if event.attempt == 1:
                            raise OSError("the model is not reachable")
                        await session.add_items([said("an answer")])
                return await AdrtSession(runtime, "ada").get_items()

        self.assertEqual(asyncio.run(main()), [said("hello"), said("an answer")])

    @unittest.skipIf(WHY_NOT, WHY_NOT)
    def test_it_is_a_session_to_the_sdk(self):
        with Agent(backend=MemoryStore()) as agent:
            self.assertIsInstance(AdrtSession(agent, "x"), Session)


if __name__ == "__main__":
    unittest.main()
