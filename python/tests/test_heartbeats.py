"""Signs of life: said by the program's own loop, or where it waits, and by nothing else."""

import json
import unittest

from fake_adrt import FakeAdrt
from real_adrt import RealAdrt

TIMEOUT_MS = 90
BEATS = 5


class Beats(unittest.TestCase):
    """Under a stand-in that tells a time-out and counts."""

    def under(self, source, limits):
        fake = FakeAdrt(source)

        def answer(frame):
            if frame["method"] != "initialize":
                return None
            lines = fake.usual(json.dumps(frame).encode())
            reply = json.loads(lines[0])
            reply["result"]["limits"].update(limits)
            return [json.dumps(reply).encode() + b"\n", *lines[1:]]

        fake.on_frame = answer
        self.addCleanup(fake.kill)
        return fake

    @staticmethod
    def beats(fake):
        return [frame for frame in fake.frames if frame["method"] == "heartbeat"]

    WAITING = {
        "Agent": """
            from adaptive_runtime import Agent
            agent = Agent()
            while True:
                agent.sleep(60)
            """,
        "Agent, polling": """
            import time
            from adaptive_runtime import Agent
            agent = Agent()
            while not agent.stopping:
                time.sleep(0.001)
            """,
        "Runtime": """
            import asyncio
            from adaptive_runtime import Runtime
            async def main():
                async with Runtime():
                    await asyncio.sleep(60)
            asyncio.run(main())
            """,
        "Runtime, computing in a thread": """
            import asyncio, time
            from adaptive_runtime import Runtime
            async def main():
                async with Runtime():
                    await asyncio.get_running_loop().run_in_executor(None, time.sleep, 60)
            asyncio.run(main())
            """,
    }

    def test_who_waits_beats(self):
        for name, source in self.WAITING.items():
            with self.subTest(name):
                fake = self.under(source, {"hang_timeout_ms": TIMEOUT_MS})
                fake.run(until=lambda fake=fake: len(self.beats(fake)) >= BEATS)
                self.assertEqual(self.beats(fake)[0].get("params"), {})
                fake.kill()

    def test_who_is_not_asked_does_not(self):
        for limits in ({}, {"hang_timeout_ms": None}):
            for name, source in self.WAITING.items():
                with self.subTest(name):
                    # It beats when it says so, and only then.
                    said = source.replace("sleep(60)", "sleep(0.3)").replace("time.sleep, 60", "time.sleep, 0.3")
                    said = said.replace("while True:", "for _ in (1,):")
                    said = said.replace("while not agent.stopping:", "for _ in range(300):\n                agent.stopping")
                    fake = self.under(said, limits).run()
                    self.assertEqual((self.beats(fake), fake.status), ([], 0), fake.told())

    def test_who_blocks_does_not(self):
        blocked = """
            import asyncio, threading, time
            from adaptive_runtime import Runtime
            async def main():
                async with Runtime() as runtime:
                    await asyncio.sleep(0.2)
                    await runtime.patch({"blocks": True})
                    time.sleep(0.5)
                    await runtime.patch({"blocks": False})
            asyncio.run(main())
            """
        fake = self.under(blocked, {"hang_timeout_ms": TIMEOUT_MS}).run()
        methods = [frame["method"] for frame in fake.frames]
        patches = [at for at, method in enumerate(methods) if method == "state.patch"]
        between = methods[patches[0] + 1 : patches[1]]
        # One that was due may leave as the block begins, or at its end.
        self.assertLessEqual(len(between), 2, methods)
        self.assertIn("heartbeat", methods[: patches[0]])


class UnderAdrt(RealAdrt):
    """With adrt's own clock on it."""

    HANGS = ("--hang-timeout", "3s", "--stop-timeout", "2s")

    def test_a_loop_that_goes_round_is_left_alone(self):
        out, err = self.run_to_end(
            *self.script(
                """
                import asyncio, time
                from adaptive_runtime import Runtime
                async def main():
                    async with Runtime() as runtime:
                        loop = asyncio.get_running_loop()
                        await loop.run_in_executor(None, time.sleep, 7)
                        await runtime.finish()
                        print("incarnation", runtime.start_info.incarnation)
                asyncio.run(main())
                """
            ),
            options=self.HANGS,
        )
        self.assertIn("incarnation 1\n", out, err)

    def test_one_that_blocks_is_started_again_with_a_trace(self):
        out, err = self.run_to_end(
            *self.script(
                """
                import asyncio, faulthandler, time
                from adaptive_runtime import Runtime
                faulthandler.enable()
                def blocks():
                    time.sleep(1000)
                async def main():
                    async with Runtime() as runtime:
                        if runtime.start_info.incarnation == 1:
                            blocks()
                        print("after a", runtime.start_info.reason)
                        await runtime.finish()
                asyncio.run(main())
                """
            ),
            options=self.HANGS,
        )
        self.assertIn("after a hang\n", out, err)
        self.assertIn("it hung (no sign of life for 3.0 s)", err)
        self.assertIn("in blocks", err)

    def test_a_program_without_a_loop_says_so_itself(self):
        for speaks in (True, False):
            with self.subTest(speaks=speaks):
                out, err = self.run_to_end(
                    *self.script(
                        f"""
                        import time
                        from adaptive_runtime import Agent
                        with Agent() as agent:
                            end = time.monotonic() + (7 if agent.start_info.incarnation == 1 else 0)
                            while time.monotonic() < end:
                                time.sleep(0.1)
                                if {speaks}:
                                    agent.heartbeat()
                            print("incarnation", agent.start_info.incarnation)
                            agent.finish()
                        """
                    ),
                    name=f"agent-{speaks}",
                    options=self.HANGS,
                )
                self.assertIn(f"incarnation {1 if speaks else 2}\n", out, err)


if __name__ == "__main__":
    unittest.main()
