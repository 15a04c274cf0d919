"""Programs that nobody supervises: they start adrt themselves."""

import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest

from fake_adrt import PACKAGE, PATIENCE, clean_environment
from real_adrt import ADRT, SEED, RealAdrt

BOTH = """
    import asyncio, os, sys
    from adaptive_runtime import *
    async def with_runtime(body, *names):
        runtime = Runtime(*names)
        await runtime.start()
        try:
            outcome = body(runtime)
            if asyncio.iscoroutine(outcome):
                await outcome
        finally:
            await runtime.stop()
"""


class Attaching(unittest.TestCase):
    """With a stand-in for `adrt attach` that does as it is told."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.dir = directory.name
        self.log = os.path.join(self.dir, "log")
        self.adrt = os.path.join(self.dir, "bin", "adrt")
        os.mkdir(os.path.dirname(self.adrt))
        stand_in = os.path.join(PACKAGE, "tests", "stand_in_attach.py")
        with open(self.adrt, "w") as file:
            file.write(f'#!/bin/sh\nexec {sys.executable} {stand_in} "$@"\n')
        os.chmod(self.adrt, 0o700)

    def environment(self, **more):
        return clean_environment(**{"ADRT_BIN": self.adrt, "STAND_IN_LOG": self.log, **more})

    def start(self, source, name="worker.py", **environment):
        path = os.path.join(self.dir, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(textwrap.dedent(BOTH) + textwrap.dedent(source))
        process = subprocess.Popen(
            [sys.executable, "-W", "error", path],
            env=self.environment(**environment),
            cwd=self.dir,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def run_it(self, source, code=0, **options):
        process = self.start(source, **options)
        out, err = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, code, out + err)
        return out, err

    def logged(self):
        with open(self.log) as file:
            return file.read().splitlines()

    def until(self, condition):
        end = time.monotonic() + PATIENCE
        while not condition():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.005)

    def test_both_clients_work_and_let_go_of_it(self):
        out, err = self.run_it(
            """
            with Agent("one") as agent:
                agent.patch({"n": 1})
                print(agent.state, agent.start_info.agent)
            with open(os.environ["STAND_IN_LOG"]) as log: print(log.read().split("\\n")[-2])
            async def main():
                async with Runtime("two", 5) as runtime:
                    await runtime.patch({"n": 2})
                    print(runtime.state, runtime.start_info.agent)
            asyncio.run(main())
            """
        )
        said = "{'n': 1} one\nended in good order\n{'n': 2} two\n"
        self.assertEqual((out, err), (said, ""))
        self.assertEqual(
            self.logged(),
            ["attach -n one", "ended in good order", "attach -n two", "ended in good order"],
        )

    def test_named_after_the_program(self):
        for name, expected in (
            ("worker.py", "worker"),
            ("my-agent.v2.py", "my-agent.v2"),
            ("night.watch", "night.watch"),
            ("pkg/__main__.py", "pkg"),
        ):
            with self.subTest(name):
                self.run_it("Agent().patch({})", name=name)
                self.assertEqual(self.logged()[-2:], [f"attach -n {expected}", "ended in good order"])
        done = subprocess.run(
            [sys.executable, "-m", "pkg"],
            env=self.environment(PYTHONPATH=PACKAGE + os.pathsep + self.dir),
            cwd=self.dir,
            check=False,
        )
        self.assertEqual((done.returncode, self.logged()[-2]), (0, "attach -n pkg"))

    def test_names_that_are_none(self):
        for name in ("", "a b", "-a", "é", "x" * 65, "a/b"):
            _, err = self.run_it(f"Agent({name!r})", code=1)
            self.assertIn("can't be an agent's name", err)
        done = subprocess.run(
            [sys.executable, "-c", "from adaptive_runtime import Agent; Agent()"],
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertIn("pass agent_id=", done.stderr)
        self.assertFalse(os.path.exists(self.log))

    def test_no_adrt_anywhere(self):
        empty = os.path.join(self.dir, "empty")
        os.mkdir(empty)
        for source in ("Agent()", "asyncio.run(with_runtime(print))"):
            _, err = self.run_it(source, code=1, ADRT_BIN="", PATH=empty)
            for hint in ("NotConnected", "pip install", "ADRT=off", 'backend="memory"', "adrt run"):
                self.assertIn(hint, err)
            _, err = self.run_it(source, code=1, ADRT_BIN=os.path.join(empty, "adrt"))
            self.assertIn("no program", err)
        no_program = os.path.join(empty, "adrt")
        with open(no_program, "w") as file:
            file.write("no program")
        os.chmod(no_program, stat.S_IRWXU)
        _, err = self.run_it("Agent()", code=1, ADRT_BIN=no_program)
        self.assertIn("can't be started", err)

    def test_found_on_the_path(self):
        path = os.pathsep.join((os.path.dirname(self.adrt), os.environ["PATH"]))
        self.run_it("Agent().patch({})", ADRT_BIN="", PATH=path)
        self.assertEqual(self.logged()[0], "attach -n worker")

    def test_it_refuses(self):
        for code, meaning in ((75, "another process has this agent"), (3, "said on stderr")):
            for source in ("Agent()", "asyncio.run(with_runtime(print))"):
                _, err = self.run_it(source, code=1, STAND_IN=f"refuse {code}")
                self.assertIn(f"(exit code {code})", err)
                self.assertIn(meaning, err)
                self.assertIn("NotConnected", err)
                self.assertIn("adrt: no, for a reason", err)

    def test_it_dies(self):
        out, _ = self.run_it(
            """
            def refused(call):
                try: call()
                except Disconnected as error: print(error)
            agent = Agent()
            refused(lambda: agent.patch({"n": 1}))
            refused(lambda: agent.patch({"n": 1}))
            refused(lambda: list(agent.events()))
            refused(lambda: agent.sleep(60))
            refused(lambda: agent.stopping)
            refused(lambda: agent.review("?"))
            refused(lambda: agent.context_engine.analyze({"type": "a"}))
            agent.stop()
            async def body(runtime):
                try: await runtime.patch({"n": 1})
                except Disconnected as error: print(error)
                try: [event async for event in runtime.events()]
                except Disconnected as error: print(error)
            asyncio.run(with_runtime(body))
            print("went on")
            """,
            STAND_IN="die 2",
        )
        told = "adrt attach -n worker is gone (killed by SIGKILL)\n"
        self.assertEqual(out, told * 9 + "went on\n")

    def test_one_that_does_not_end(self):
        out, _ = self.run_it(
            """
            from adaptive_runtime import _attach
            _attach.END_SECONDS = _attach.TERM_SECONDS = 0.2
            agent = Agent()
            agent.stop()
            print("ended")
            """,
            STAND_IN="linger",
        )
        self.assertEqual((out, self.logged()[1:]), ("ended\n", ["TERM"]))

    def test_a_program_that_ends_anyhow(self):
        for end, code in (
            ("", 0),
            ("sys.exit(3)", 3),
            ("raise KeyError(1)", 1),
            ("os.kill(os.getpid(), 9)", -9),
            ("os._exit(4)", 4),
        ):
            with self.subTest(end):
                self.run_it(f"agent = Agent()\nagent.patch({{}})\n{end}", code=code)
                # Only one that dies on the spot doesn't wait for it.
                self.until(lambda: self.logged()[-1] == "ended in good order")

    def test_control_c(self):
        for source in (
            """
            try:
                agent = Agent()
                agent.patch({})
                print("up", flush=True)
                agent.sleep(3600)
            finally:
                agent.patch({"tidied": True})
            """,
            """
            async def body(runtime):
                try:
                    print("up", flush=True)
                    await runtime.review("?")
                finally:
                    await runtime.patch({"tidied": True})
            asyncio.run(with_runtime(body))
            """,
        ):
            process = self.start(source)
            self.assertEqual(process.stdout.readline(), "up\n")
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does
            _, err = process.communicate(timeout=PATIENCE)
            self.assertEqual(err.splitlines()[-1], "KeyboardInterrupt")
            self.assertEqual(process.returncode, -signal.SIGINT)
            self.assertEqual(self.logged()[-1], "ended in good order")

    def test_the_operator_stops_it(self):
        for source in (
            """
            agent = Agent()
            try:
                while True:
                    agent.patch({"n": 1})
                    agent.sleep(3600)
            finally:
                print("tidied")
            """,
            """
            async def body(runtime):
                try:
                    await runtime.patch({"n": 1})
                    await asyncio.sleep(3600)
                finally:
                    print("tidied")
            asyncio.run(with_runtime(body))
            """,
        ):
            out, err = self.run_it(source, code=143, STAND_IN="stop 2")
            self.assertEqual((out, err), ("tidied\n", ""))
        for source in (
            """
            agent = Agent()
            while not agent.stopping:
                agent.patch({"n": 1})
            print("tidied")
            """,
            """
            agent = Agent()
            for event in agent.events(): pass
            print("tidied")
            """,
            """
            async def body(runtime):
                runtime.patch_nowait({})
                await runtime.stopping.wait()
                print("tidied")
            asyncio.run(with_runtime(body))
            """,
        ):
            out, err = self.run_it(source, STAND_IN="stop 2")
            self.assertEqual((out, err), ("tidied\n", ""))
        self.assertEqual(self.logged()[-1], "ended in good order")

    def test_sigterm_is_the_programs(self):
        self.run_it(
            """
            import signal
            agent = Agent()
            assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
            async def body(runtime):
                assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
            asyncio.run(with_runtime(body))
            """
        )

    def test_a_forked_worker_must_not_use_it(self):
        out, _ = self.run_it(
            """
            agent = Agent()
            agent.patch({"n": 1})
            pid = os.fork()
            if pid == 0:
                try: agent.patch({"n": 2})
                except NotConnected as error: print(error, flush=True)
                agent.stop()
                with Agent("child") as own:
                    own.patch({"n": 3})
                sys.exit(0)  # its atexit handlers leave the parent's alone
            assert os.waitpid(pid, 0)[1] == 0
            print(agent.patch({"n": 4}), agent.state)
            """
        )
        self.assertRegex(out, r"forked from the agent \(pid \d+\)")
        self.assertTrue(out.endswith("\n2 {'n': 4}\n"), out)
        ended = ["attach -n worker", "attach -n child", "ended in good order", "ended in good order"]
        self.assertEqual(self.logged(), ended)

    def test_a_subprocess_does_not_keep_it_alive(self):
        out, _ = self.run_it(
            """
            import subprocess
            agent = Agent()
            child = subprocess.Popen(["sleep", "600"], close_fds=False)
            agent.stop()
            print("ended")
            child.kill(); child.wait()
            """
        )
        self.assertEqual((out, self.logged()[-1]), ("ended\n", "ended in good order"))

    def test_standard_descriptors_that_are_closed(self):
        self.run_it(
            """
            os.close(0); os.close(1)
            agent = Agent()
            agent.patch({"n": 1})
            agent.stop()
            """
        )

    def test_workers_of_a_supervised_agent_never_attach(self):
        _, err = self.run_it("Agent('a')", code=1, ADRT_INCARNATION="1")
        self.assertIn("child of a supervised agent", err)
        self.assertFalse(os.path.exists(self.log))

    def test_in_memory_it_is_not_started(self):
        out, err = self.run_it(
            """
            import warnings; warnings.simplefilter("default")
            with Agent() as agent: agent.patch({"n": 1})
            with Agent() as agent: print(agent.state)
            """,
            ADRT="off",
        )
        self.assertEqual(out, "{}\n")
        self.assertEqual(len(re.findall("RuntimeWarning", err)), 1)
        self.assertFalse(os.path.exists(self.log))

    def test_several_at_once(self):
        self.run_it(
            """
            async def main():
                async with Runtime("a") as a, Runtime("b") as b:
                    await asyncio.gather(a.patch({"n": 1}), b.patch({"n": 2}))
                    with Agent("c") as c: c.patch({"n": 3})
                    assert (a.state, b.state) == ({"n": 1}, {"n": 2})
            asyncio.run(main())
            """
        )
        self.assertEqual(sorted(self.logged())[:3], ["attach -n a", "attach -n b", "attach -n c"])

    def test_all_that_was_written_is_carried_out(self):
        self.run_it(
            """
            agent = Agent()
            for n in range(500):
                agent.confidence_engine.record_outcome(True, 0.7, "high")
            async def body(runtime):
                for n in range(500):
                    runtime.patch_nowait({"n": n})
            asyncio.run(with_runtime(body))
            """
        )


class ForReal(RealAdrt):
    """With the real adrt."""

    COUNT = """
        from adaptive_runtime import Agent
        with Agent("counter") as agent:
            agent.append("runs", agent.start_info.incarnation)
            print(len(agent.state["runs"]), flush=True)
    """

    def test_it_is_the_same_agent_below_and_above(self):
        command = self.script(self.COUNT, "counter.py")
        for number in range(1, 7):
            if number % 2:
                self.assertEqual(self.run_alone(*command), (f"{number}\n", ""))
            else:
                out, _ = self.run_to_end(*command, name="counter")
                self.assertEqual(out, f"{number}\n")
            # It has let go of it by now.
            self.assertEqual(len(self.state("counter")["runs"]), number)
        self.adrt("state", "patch", "counter", '{"more": 1}')

    def test_one_process_at_a_time(self):
        holder = self.start_alone(
            *self.script(
                """
                from adaptive_runtime import Agent
                with Agent("counter") as agent:
                    print("up", flush=True)
                    agent.sleep(3600)
                """
            )
        )
        self.assertEqual(holder.stdout.readline(), "up\n")
        _, err = self.run_alone(*self.script(self.COUNT, "counter.py"), code=1)
        self.assertIn("another process has this agent", err)
        # The operator reaches it all the same.
        self.adrt("state", "patch", "counter", '{"told": true}')
        self.assertEqual(self.state("counter"), {"told": True})
        os.killpg(holder.pid, signal.SIGINT)
        _, err = holder.communicate(timeout=PATIENCE)
        self.assertIn("KeyboardInterrupt", err)
        self.run_alone(*self.script(self.COUNT, "counter.py"))

    def test_nothing_acknowledged_is_lost(self):
        command = self.script(
            """
            import os, sys
            from adaptive_runtime import Agent
            agent = Agent("counter")
            n = agent.state.get("n", 0)
            while True:
                n += 1
                agent.patch({"n": n})
                os.write(1, b"%d\\n" % n)
            """
        )
        acknowledged = 0
        for kill in range(6):
            process = self.start_alone(*command)
            for _ in range(20):
                acknowledged = int(process.stdout.readline())
            if kill % 2:
                process.kill()
            else:
                self.kill_child_of(process)  # adrt attach
            acknowledged = int((process.communicate()[0].split() or [acknowledged])[-1])
            self.wait_until_free("counter")
            self.assertGreaterEqual(self.state("counter")["n"], acknowledged, f"seed {SEED}")

    def test_adrt_is_killed(self):
        process = self.start_alone(
            *self.script(
                """
                from adaptive_runtime import Agent, Disconnected
                agent = Agent("counter")
                agent.patch({"n": 1})
                print("up", flush=True)
                try: agent.sleep(3600)
                except Disconnected as error: print(error)
                """
            )
        )
        self.assertEqual(process.stdout.readline(), "up\n")
        self.kill_child_of(process)
        out, err = process.communicate(timeout=PATIENCE)
        told = "adrt attach -n counter is gone (killed by SIGKILL)\n"
        self.assertEqual((process.returncode, out, err), (0, told, ""))

    def test_events_steps_and_engines(self):
        self.run_alone(
            *self.script(
                """
                import asyncio
                from adaptive_runtime import Runtime
                async def main():
                    async with Runtime("worker") as runtime:
                        for n in range(3):
                            await runtime.emit({"type": "order", "n": n})
                        async for event in runtime.events(["order"]):
                            async with event:
                                paid = await event.step("pay", lambda n: n * 2, event["n"])
                                await runtime.append("paid", paid)
                                assert (await event.process()).action == "monitor_and_wait"
                            if event["n"] == 2:
                                break
                asyncio.run(main())
                """
            )
        )
        self.assertEqual(self.state("worker")["paid"], [0, 2, 4])

    def wait_until_free(self, name):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            done = subprocess.run(
                [ADRT, "state", "patch", name, "{}"],
                env=self.environment(), capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode == 0:
                return
        self.fail(done.stderr)


if __name__ == "__main__":
    unittest.main()
