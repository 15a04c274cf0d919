"""Under the real adrt, with SIGKILL at any moment: state and checkpoints."""

import json
import os
import shutil
import sys
import time
import unittest

from fake_adrt import PATIENCE, ROOT
from real_adrt import EXAMPLES, SEED, RealAdrt

KILLS = 12


class UnderAdrt(RealAdrt):
    # -------------------------------------------------------- examples

    def test_the_counter(self):
        out, err = self.run_to_end(
            sys.executable, os.path.join(EXAMPLES, "counter.py"), name="counter"
        )
        numbers = [line for line in out.splitlines() if line.isdigit()]
        self.assertEqual(numbers, [str(n) for n in range(1, 11)])
        self.assertIn("incarnation 2 (crash), I was at 4", out)
        self.assertIn("incarnation 3 (crash), I was at 7", out)
        self.assertIn("RuntimeError: a bug, at night", err)
        self.assertEqual(self.state("counter"), {"n": 10})
        crashes = self.adrt("crashes", "list", "counter", "--json")
        self.assertEqual(len(json.loads(crashes)), 2)
        self.assertIn("a bug, at night", self.adrt("crashes", "show", "counter"))

    def test_the_pipeline_with_kills_of_agent_and_adrt(self):
        rows = 120_000  # so that no disk is fast enough to be done before the first kill
        command = [sys.executable, os.path.join(EXAMPLES, "pipeline.py"), "--rows", str(rows)]
        out = ""
        for kill in range(KILLS):
            process = self.start(*command, name="pipeline")
            # Wait until this run has got somewhere, then a little more.
            before = self.size("cleaned.csv")
            self.wait_for(
                lambda process=process, before=before: process.poll() is not None
                or self.size("cleaned.csv") > before,
                process if kill < 2 else _Ended(process),
            )
            time.sleep(self.random.random() * 0.05)
            if process.poll() is None and kill % 2:
                self.kill_child_of(process)
                time.sleep(self.random.random() * 0.05)
            process.kill()
            out += process.communicate()[0]
            if "of them bad" in out:
                break
        if "of them bad" not in out:
            out += self.run_to_end(*command, name="pipeline")[0]
        self.assertIn("going on at row", out, f"seed {SEED}")
        with open(os.path.join(self.dir, "cleaned.csv")) as file:
            numbers = [int(line.split(",")[0]) for line in file]
        self.assertEqual(numbers, [n for n in range(rows) if n % 97 != 96], f"seed {SEED}")
        self.assertEqual(self.state("pipeline")["rows"], rows)

    def test_the_shell_agent(self):
        script = os.path.join(EXAMPLES, "agent.sh")
        for arguments in ([], ["--wire"]):
            name = "wire" if arguments else "commands"
            with self.subTest(name):
                process = self.start("sh", script, *arguments, name=name)
                steps = []
                for line in process.stdout:
                    steps.append(line.strip())
                    if line == "step 3\n" and steps.count("step 3") == 1:
                        self.kill_child_of(process)
                self.assertEqual(process.wait(), 0, process.stderr.read())
                self.assertEqual(self.state(name), {"done": 5})
                # Step 3 is done again, unless its kill came late.
                self.assertEqual(steps[:4], ["0 steps are done", "step 1", "step 2", "step 3"])
                self.assertIn(steps[4], ("2 steps are done", "3 steps are done"))
                self.assertEqual(steps[-1], "step 5")

    def test_the_shell_agent_in_other_shells(self):
        script = os.path.join(EXAMPLES, "agent.sh")
        for shell in ("dash", "bash", "busybox"):
            if shutil.which(shell):
                command = [shell, "sh", script] if shell == "busybox" else [shell, script]
                self.run_to_end(*command, "--wire", name=shell)
                self.assertEqual(self.state(shell), {"done": 5})

    # -------------------------------------------------------- promises

    def test_nothing_acknowledged_is_lost(self):
        command = self.script(
            """
            import os, sys
            from adaptive_runtime import Agent
            agent = Agent()
            n = agent.state.get("n", 0)
            # What was acknowledged is noted outside adrt.
            noted = open("noted", "a+", buffering=1)
            noted.seek(0)
            before = [int(line) for line in noted.read().split()]
            if before and n < before[-1]:
                open("LOST", "w").write(f"{n} after {before[-1]}")
            while True:
                n += 1
                agent.patch({"n": n})
                os.write(noted.fileno(), b"%d\\n" % n)
            """
        )
        for kill in range(KILLS):
            process = self.start(*command)
            before = self.size("noted")
            self.wait_for(
                lambda before=before: self.size("noted") > before + 20, process
            )
            time.sleep(self.random.random() * 0.03)
            if kill % 3:
                self.kill_child_of(process)
                between = self.size("noted")
                self.wait_for(
                    lambda between=between: self.size("noted") > between or self.has("LOST"),
                    process,
                )
            if kill % 3 != 1:
                process.kill()
            else:
                process.terminate()
                self.assertEqual(process.wait(PATIENCE), 0)
            process.communicate()
            self.assertFalse(self.has("LOST"), f"seed {SEED}")
        with open(os.path.join(self.dir, "noted")) as file:
            noted = [int(line) for line in file]
        self.assertGreaterEqual(self.state()["n"], noted[-1], f"seed {SEED}")

    def test_ten_thousand_pipelined(self):
        self.run_to_end(
            *self.script(
                """
                import asyncio
                from adaptive_runtime import Runtime
                async def main():
                    async with Runtime("other-name") as runtime:
                        versions = await asyncio.gather(
                            *(runtime.patch({"n": n, str(n % 9): n}) for n in range(10_000)))
                        assert versions == list(range(1, 10_001))
                        point = await runtime.recovery_engine.create_checkpoint({"end": True})
                        assert point.version == 10_001, point
                        assert (await runtime.state_engine.load_state())["n"] == 9999
                        await runtime.finish()
                asyncio.run(main())
                """
            )
        )
        self.assertEqual(self.state()["end"], True)

    def test_all_that_the_clients_ask_for(self):
        self.run_to_end(
            *self.script(
                """
                from adaptive_runtime import *
                def refused(kind, call, *args, **options):
                    try: call(*args, **options)
                    except kind as error: return error
                    raise AssertionError(kind)
                agent = Agent(schema=1, checkpoint_every=5)
                agent.patch({"a": {"b": None, "c": 1}, "text": "é \\ud83d\\ude00 \\u2028"})
                agent.append("log", 1, key="k1"); agent.append("log", 2)
                agent.append("log", 1, key="k1")
                assert agent.state["log"] == [1, 2]
                refused(KeyReused, agent.append, "log", 9, key="k1")
                refused(VersionConflict, agent.patch, {}, if_version=1)
                assert refused(PatchFailed, agent.delete, "/nothing").data["index"] == 0
                agent.delete("/a/c")
                point = agent.checkpoint("here")
                agent.replace({"new": True})
                assert agent.state == {"new": True, "_schema": 1}
                assert [p.label for p in agent.checkpoints(1)] == ["here"]
                agent.restore(point.id)
                assert agent.state["log"] == [1, 2] and agent.state["a"] == {}
                refused(UnknownCheckpoint, agent.restore, 12345)
                refused(TooLarge, agent.patch, {"x": "y" * (17 << 20)})
                agent.patch({"big": "z" * (10 << 20)})
                agent.patch({"big": None})
                agent.patch({"n": None, "list": [1.5, -0.0, 10**30]}, format="shallow")
                agent.heartbeat("busy", done=1, total=2)
                agent.log("hello", level="warning", why="because")
                before = agent.state.copy(); agent.stop()
                again = Agent(schema=2, migrations={2: lambda s: s.update(migrated=True)})
                assert again.state == {**before, "_schema": 2, "migrated": True}, again.state
                again.finish({"sum": 1})
                """
            )
        )
        self.assertTrue(self.state()["migrated"])

    def test_what_the_operator_writes_reaches_the_agent(self):
        for kind, source in (
            (
                "Agent",
                """
                from adaptive_runtime import Agent
                agent = Agent()
                open("up", "w").close()
                while "go" not in agent.state:
                    agent.sleep(0.01)
                agent.finish()
                """,
            ),
            (
                "Runtime",
                """
                import asyncio
                from adaptive_runtime import Runtime
                async def main():
                    async with Runtime() as runtime:
                        open("up", "w").close()
                        while "go" not in runtime.state:
                            await asyncio.sleep(0.01)
                        await runtime.finish()
                asyncio.run(main())
                """,
            ),
        ):
            with self.subTest(kind):
                if self.has("up"):
                    os.unlink(os.path.join(self.dir, "up"))
                process = self.start(*self.script(source), name=kind)
                self.wait_for(lambda: self.has("up"), process)
                self.adrt("state", "patch", kind, '{"go":1}')
                self.assertEqual(process.wait(PATIENCE), 0, process.communicate())

    def test_a_stop_is_prompt_and_in_order(self):
        # A minute's grace, so that only the notification can have ended it.
        process = self.start(
            *self.script(
                """
                from adaptive_runtime import Agent
                with Agent() as agent:
                    try:
                        open("up", "w").close()
                        while True:
                            agent.sleep(3600)
                    finally:
                        agent.patch({"tidied": True})
                """
            ),
            options=["--stop-timeout", "10min"],
        )
        self.wait_for(lambda: self.has("up"), process)
        process.terminate()
        self.assertEqual(process.wait(PATIENCE), 0, process.communicate())
        self.assertEqual(self.state(), {"tidied": True})

    def test_an_installed_package_has_precedence(self):
        place = os.path.join(self.dir, "site")
        shutil.copytree(
            os.path.join(ROOT, "python", "adaptive_runtime"),
            os.path.join(place, "adaptive_runtime"),
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        command = self.script(
            f"""
            import sys
            if len(sys.argv) > 1:
                sys.path.append({place!r})
            import adaptive_runtime
            agent = adaptive_runtime.Agent()
            agent.patch({{"file": adaptive_runtime.__file__}})
            agent.finish()
            """
        )
        self.run_to_end(*command)
        self.assertTrue(self.state()["file"].startswith(os.path.join(self.dir, "state")))
        self.run_to_end(*command, "installed")
        self.assertTrue(self.state()["file"].startswith(place))


class _Ended:
    """A process whose end is as good as what was waited for."""

    def __init__(self, process):
        self._process = process

    def poll(self):
        return None

    def communicate(self):
        return self._process.communicate()


if __name__ == "__main__":
    unittest.main()
