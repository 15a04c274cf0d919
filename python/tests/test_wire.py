"""The wire in a real process: taking it over, and what a program may do beside it."""

import os
import signal
import unittest

from fake_adrt import FakeAdrt, run, run_plain

BIG = 200_000


class TakingOver(unittest.TestCase):
    def test_nothing_is_touched_without_a_token(self):
        result = run_plain(
            """
            import os, signal
            def seen():
                fds = sorted((int(fd), os.readlink("/proc/self/fd/" + fd))
                             for fd in os.listdir("/proc/self/fd")
                             if os.path.exists("/proc/self/fd/" + fd))
                return fds, dict(os.environ), signal.getsignal(signal.SIGTERM)
            before = seen()
            import adaptive_runtime
            assert seen() == before
            """,
            ADRT_TEXT_FD="7",
            ADRT_WIRE="1:1,1:1,1:1",
        )
        self.assertEqual((result.returncode, result.stderr), (0, ""))

    def test_the_wire_leaves_fd_0_and_1(self):
        agent = run(
            """
            import os, sys, fcntl
            from adaptive_runtime import Agent, _wire
            assert sys.stdin.read() == ""
            assert not {"ADRT_TOKEN", "ADRT_TEXT_FD", "ADRT_WIRE"} & set(os.environ)
            assert os.environ["ADRT_AGENT"] == "fake"
            assert not os.path.exists("/proc/self/fd/3")
            for fd in (_wire.found.wire.read_fd, _wire.found.wire.write_fd):
                assert fd >= 10
                assert fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
            print("one"); os.system("echo two")
            import ctypes
            ctypes.CDLL(None).puts(b"three"); ctypes.CDLL(None).fflush(None)
            os.write(1, b'{"jsonrpc":"2.0","id":1,"method":"run.finish"}\\n')
            Agent().patch({"n": 1})
            """
        )
        self.assertEqual(agent.code, 0, agent.told())
        self.assertEqual(agent.stray, [])
        self.assertEqual(agent.stdout.split("\n")[:3], ["one", "two", "three"])
        self.assertEqual(agent.methods(), ["initialize", "ready", "state.patch"])

    def test_text_goes_to_stderr_where_there_is_no_text_pipe(self):
        agent = run(
            'from adaptive_runtime import Agent\nprint("hello")\nAgent()',
            environment={"ADRT_TEXT_FD": None},
        )
        self.assertEqual((agent.code, agent.errors), (0, "hello\n"))

    def test_a_replaced_stdout_is_said_at_once(self):
        agent = run(
            """
            from adaptive_runtime import Agent, NotConnected
            try:
                Agent()
            except NotConnected as error:
                print("refused:", error)
            """,
            launcher=["sh", "-c", f'{_python()} "$0" | cat'],
        )
        self.assertIn("not connected", agent.errors)
        self.assertIn("launcher", agent.errors)
        self.assertEqual(agent.frames, [])
        self.assertIn(b"refused:", b"".join(agent.stray))

    def test_a_launcher_that_leaves_the_pipes_alone(self):
        agent = run(
            'from adaptive_runtime import Agent\nAgent().patch({"n": 1})\nprint("fine")',
            launcher=["sh", "-c", f'{_python()} "$0"; echo over >&3'],
        )
        self.assertEqual((agent.stdout, agent.store.state), ("fine\nover\n", {"n": 1}))

    def test_half_a_line_before_the_wire_was_taken(self):
        agent = run(
            """
            print("loading ...", end="", flush=True)
            from adaptive_runtime import Agent, _link
            _link.HANDSHAKE_AGAIN_SECONDS = 0.05
            Agent().patch({"n": 1})
            """
        )
        self.assertEqual((agent.code, agent.store.state), (0, {"n": 1}), agent.told())
        self.assertTrue(agent.stray[0].startswith(b"loading ..."))

    def test_half_a_line_before_an_asynchronous_start(self):
        agent = run(
            """
            print("loading ...", end="", flush=True)
            import asyncio
            from adaptive_runtime import Runtime, _link
            _link.HANDSHAKE_AGAIN_SECONDS = 0.05
            async def main():
                async with Runtime() as runtime:
                    await runtime.patch({"n": 1})
            asyncio.run(main())
            """
        )
        self.assertEqual((agent.code, agent.store.state), (0, {"n": 1}), agent.told())

    def test_one_client_at_a_time(self):
        agent = run(
            """
            from adaptive_runtime import Agent, NotConnected
            first = Agent()
            first.patch({"n": 1})
            try:
                Agent()
            except NotConnected as error:
                print(error)
            first.stop()
            second = Agent()
            assert second.state == {"n": 1}, second.state
            second.patch({"n": 2})
            """
        )
        self.assertEqual((agent.code, agent.store.state), (0, {"n": 2}), agent.told())
        self.assertIn("share that one", agent.stdout)


class Noise(unittest.TestCase):
    def test_output_from_everywhere_during_big_frames(self):
        agent = run(
            f"""
            import ctypes, os, threading
            from adaptive_runtime import Agent
            agent = Agent()
            libc = ctypes.CDLL(None)
            over = threading.Event()
            def chatter(say):
                while not over.is_set():
                    say()
            sayers = [lambda: print("p" * 99), lambda: libc.puts(b"c" * 99),
                      lambda: os.system("echo system"), lambda: os.write(1, b'{{"jsonrpc":"2.0"\\n')]
            threads = [threading.Thread(target=chatter, args=(say,)) for say in sayers]
            for thread in threads: thread.start()
            for n in range(20):
                agent.patch({{"n": n, "blob": chr(97 + n) * {BIG}}})
            over.set()
            for thread in threads: thread.join()
            """
        )
        self.assertEqual(agent.code, 0, agent.told())
        self.assertEqual(agent.stray, [])
        self.assertEqual(agent.store.version, 20)
        self.assertEqual(agent.store.state, {"n": 19, "blob": "t" * BIG})
        self.assertIn("p" * 99, agent.stdout)
        self.assertIn("c" * 99, agent.stdout)
        self.assertIn("system", agent.stdout)

    def test_many_threads(self):
        agent = run(
            f"""
            import threading
            from adaptive_runtime import Agent
            agent = Agent()
            def work(name):
                for n in range(60):
                    version = agent.patch({{name: n, "blob": name * {BIG // 100}}})
                    assert agent.version >= version
            threads = [threading.Thread(target=work, args=(str(n),)) for n in range(8)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            assert agent.version == 480
            assert all(agent.state[str(n)] == 59 for n in range(8))
            """
        )
        self.assertEqual((agent.code, agent.store.version), (0, 480), agent.told())


class OtherProcesses(unittest.TestCase):
    def test_a_forked_child_has_no_wire(self):
        agent = run(
            """
            import os, sys
            from adaptive_runtime import Agent, NotConnected
            agent = Agent()
            agent.patch({"n": 1})
            for attempt in range(2):
                pid = os.fork()
                if pid == 0:
                    try:
                        agent.patch({"n": 99}) if attempt else Agent()
                    except NotConnected as error:
                        print("child:", error, flush=True)
                        assert agent.state == {"n": 1}
                        sys.exit(5)
                    sys.exit(6)
                assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
            agent.patch({"n": 2})
            """
        )
        self.assertEqual((agent.code, agent.store.state), (0, {"n": 2}), agent.told())
        self.assertEqual(agent.stdout.count("child: this process was forked"), 2)
        self.assertEqual(agent.methods(), ["initialize", "ready", "state.patch", "state.patch"])

    def test_sigterm_of_a_forked_child_is_its_own(self):
        agent = run(
            """
            import asyncio, os, signal, time
            from adaptive_runtime import Runtime
            async def main():
                async with Runtime() as runtime:
                    pid = os.fork()
                    if pid == 0:
                        time.sleep(60)
                    os.kill(pid, signal.SIGTERM)
                    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGTERM
                    await asyncio.sleep(0.05)
                    await runtime.patch({"alive": True})
            asyncio.run(main())
            """
        )
        self.assertEqual((agent.code, agent.store.state), (0, {"alive": True}), agent.told())

    def test_multiprocessing(self):
        for method in ("fork", "spawn"):
            with self.subTest(method):
                agent = run(
                    f"""
                    import multiprocessing
                    from adaptive_runtime import Agent, NotConnected
                    def work(n):
                        print("working", flush=True)
                        try:
                            Agent()
                        except NotConnected:
                            return n * n
                    if __name__ == "__main__":
                        agent = Agent()
                        with multiprocessing.get_context("{method}").Pool(2) as pool:
                            agent.patch({{"squares": pool.map(work, range(5))}})
                    """
                )
                self.assertEqual(agent.code, 0, agent.told())
                self.assertEqual(agent.store.state, {"squares": [0, 1, 4, 9, 16]})
                self.assertEqual(agent.stray, [])
                self.assertEqual(agent.stdout.count("working"), 5)

    def test_subprocess(self):
        agent = run(
            """
            import subprocess, sys
            from adaptive_runtime import Agent
            agent = Agent()
            code = "import adaptive_runtime as a\\ntry: a.Agent()\\nexcept a.NotConnected as e: print(e)"
            subprocess.run([sys.executable, "-c", code])
            said = subprocess.run([sys.executable, "-c", "print(input())"], input=b"x\\n",
                                  stdout=subprocess.PIPE).stdout
            agent.patch({"said": said.decode()})
            """
        )
        self.assertEqual((agent.code, agent.store.state), (0, {"said": "x\n"}), agent.told())
        self.assertIn("child of a supervised agent", agent.stdout)
        self.assertEqual(agent.stray, [])


class Endings(unittest.TestCase):
    def test_exits_of_all_kinds(self):
        for ending, code in (("sys.exit(7)", 7), ("", 0), ("os._exit(4)", 4), ("1 / 0", 1)):
            for start in ("agent = Agent()", "with Agent() as agent: agent.patch({})"):
                with self.subTest(ending=ending, start=start):
                    agent = run(
                        "import os, sys\nfrom adaptive_runtime import Agent\n"
                        f"{start}\nif agent is not None: agent.log('last words')\n{ending}\n"
                    )
                    self.assertEqual(agent.code, code, agent.told())
                    self.assertEqual(agent.methods()[-1], "log")
                    self.assertEqual("ZeroDivisionError" in agent.errors, code == 1)

    def test_asynchronous_exits(self):
        for ending, code in (("sys.exit(7)", 7), ("", 0), ("1 / 0", 1)):
            with self.subTest(ending):
                agent = run(
                    f"""
                    import asyncio, sys
                    from adaptive_runtime import Runtime
                    async def main():
                        runtime = Runtime()
                        await runtime.start()
                        runtime.patch_nowait({{"n": 1}})
                        runtime.log("last words")
                        {ending}
                    asyncio.run(main())
                    """
                )
                self.assertEqual(agent.code, code, agent.told())
                self.assertEqual(agent.methods()[-1], "log")
                self.assertEqual(agent.store.state, {"n": 1})

    def test_sigterm_between_calls(self):
        self._sigterm(
            """
            import time
            from adaptive_runtime import Agent
            with Agent() as agent:
                try:
                    agent.patch({"n": 1})
                    print("up", flush=True)
                    time.sleep(60)
                finally:
                    agent.patch({"n": 2})
            """
        )

    def test_sigterm_in_asyncio(self):
        self._sigterm(
            """
            import asyncio
            from adaptive_runtime import Runtime
            async def main():
                async with Runtime() as runtime:
                    try:
                        await runtime.patch({"n": 1})
                        print("up", flush=True)
                        await asyncio.sleep(60)
                    finally:
                        await runtime.patch({"n": 2})
            asyncio.run(main())
            """
        )

    def _sigterm(self, source):
        with FakeAdrt(source) as agent:
            agent.run(until=lambda: "up" in agent.stdout)
            agent.signal(signal.SIGTERM)
            agent.run()
            self.assertEqual((agent.code, agent.errors), (143, ""))
            self.assertEqual(agent.store.state, {"n": 2})

    def test_sigterm_during_a_call_waits_for_its_answer(self):
        with FakeAdrt(
            """
            from adaptive_runtime import Agent
            agent = Agent()
            agent.patch({"n": 1})
            print("never seen")
            """
        ) as agent:
            held = []
            agent.on_frame = lambda frame: _hold(agent, frame, "state.patch", held)
            agent.run(until=lambda: held)
            agent.signal(signal.SIGTERM)
            os.kill(agent.pid, 0)
            agent.on_frame = None
            for reply in held[0]:
                agent.send(reply)
            agent.run()
            self.assertEqual((agent.code, agent.stdout, agent.errors), (143, "", ""))

    def test_a_handler_of_the_program_stays(self):
        with FakeAdrt(
            """
            import signal, sys
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))
            from adaptive_runtime import Agent
            agent = Agent()
            agent.patch({})
            print("up", flush=True)
            signal.pause()
            """
        ) as agent:
            agent.run(until=lambda: "up" in agent.stdout)
            agent.signal(signal.SIGTERM)
            self.assertEqual(agent.run().code, 9)

    def test_shutdown_ends_a_program_that_does_nothing_about_it(self):
        for source in (
            """
            from adaptive_runtime import Agent
            agent = Agent()
            while True:
                agent.patch({"n": agent.state.get("n", 0) + 1})
                agent.sleep(0.01)
            """,
            """
            import asyncio
            from adaptive_runtime import Runtime
            async def main():
                async with Runtime() as runtime:
                    await runtime.patch({"n": 5})
                    await asyncio.sleep(60)
            asyncio.run(main())
            """,
        ):
            with self.subTest(source), FakeAdrt(source) as agent:
                agent.run(until=lambda agent=agent: agent.store.state.get("n", 0) >= 5)
                agent.notify("shutdown", reason="stop", deadline_ms=5000)
                agent.run()
                self.assertEqual((agent.code, agent.errors), (143, ""))

    def test_shutdown_is_left_to_a_program_that_asks(self):
        for source in (
            """
            from adaptive_runtime import Agent
            with Agent() as agent:
                while not agent.stopping:
                    agent.patch({"up": True})
                    agent.sleep(60)
                agent.patch({"bye": True})
            """,
            """
            from adaptive_runtime import Agent
            told = []
            with Agent(on_stop=lambda: told.append(agent.patch({"told": True}))) as agent:
                agent.patch({"up": True})
                while not told:
                    agent.sleep(60)
                agent.patch({"bye": True})
            """,
            """
            import asyncio
            from adaptive_runtime import Runtime
            async def main():
                async with Runtime() as runtime:
                    stopping = runtime.stopping
                    await runtime.patch({"up": True})
                    await stopping.wait()
                    await runtime.patch({"bye": True})
            asyncio.run(main())
            """,
        ):
            with self.subTest(source), FakeAdrt(source) as agent:
                agent.run(until=lambda agent=agent: agent.store.state)
                agent.notify("shutdown", reason="stop", deadline_ms=5000)
                agent.run()
                self.assertEqual((agent.code, agent.errors), (0, ""))
                self.assertTrue(agent.store.state["bye"])

    def test_adrt_vanishes(self):
        for source in (
            """
            from adaptive_runtime import Agent
            agent = Agent()
            while True:
                agent.patch({"n": agent.state.get("n", 0) + 1})
            """,
            """
            import asyncio
            from adaptive_runtime import Runtime
            async def main():
                async with Runtime() as runtime:
                    await runtime.patch({"n": 5})
                    await asyncio.sleep(60)
            asyncio.run(main())
            """,
        ):
            with self.subTest(source), FakeAdrt(source) as agent:
                agent.run(until=lambda agent=agent: agent.store.state.get("n", 0) >= 5)
                agent.vanish()
                agent.run()
                self.assertEqual(agent.code, 143, agent.told())
                self.assertIn("adrt closed the wire", agent.errors)
                self.assertNotIn("Traceback", agent.errors)

    def test_a_closed_wire_is_an_error_to_a_program_with_its_own_handler(self):
        with FakeAdrt(
            """
            import signal
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            from adaptive_runtime import Agent, Disconnected
            agent = Agent()
            try:
                while True:
                    agent.patch({"n": 1})
            except Disconnected as error:
                print(error.kind, flush=True)
            """
        ) as agent:
            agent.run(until=lambda: agent.store.version > 3)
            agent.close_stdin()
            agent.run()
            self.assertEqual((agent.code, agent.stdout), (0, "disconnected\n"), agent.told())


def _hold(agent, frame, method, held):
    if frame.get("method") != method:
        return None
    held.append(agent.usual(frame))
    return []


def _python():
    import sys

    return sys.executable


if __name__ == "__main__":
    unittest.main()
