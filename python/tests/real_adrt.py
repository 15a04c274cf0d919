"""Tests under the real adrt: a place of its own, and the command line in it.
`ADRT_BIN` says where adrt is; `cargo test --test python` sets it."""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest

from fake_adrt import PACKAGE, PATIENCE, ROOT, clean_environment

ADRT = os.environ.get("ADRT_BIN")
# However the tests were started: what they start is to be interruptible.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
EXAMPLES = os.path.join(ROOT, "examples")
SEED = int(os.environ.get("ADRT_TEST_SEED") or random.randrange(1 << 32))


@unittest.skipUnless(ADRT, "ADRT_BIN is not set")
class RealAdrt(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.dir = directory.name
        self.running = []
        self.addCleanup(self.end_all)
        self.random = random.Random(SEED)

    def end_all(self):
        for process in self.running:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def environment(self):
        settings = clean_environment(
            ADRT_STATE_DIR=os.path.join(self.dir, "state"),
            ADRT_RUNTIME_DIR=os.path.join(self.dir, "runtime"),
            PATH=os.path.dirname(ADRT) + os.pathsep + os.environ["PATH"],
            STEP_SECONDS="0.02",
            ADRT_SENSORS_EVERY="0",  # what this machine is busy with is no part of the test
        )
        del settings["PYTHONPATH"]  # adrt brings the package along
        return settings

    def start(self, *command, name="agent", options=()):
        process = subprocess.Popen(
            [ADRT, "run", "-n", name, "--backoff-initial", "10ms", "--backoff-max", "20ms"]
            + [*options, "--", *command],
            env=self.environment(),
            cwd=self.dir,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.running.append(process)
        return process

    def run_to_end(self, *command, code=0, **options):
        process = self.start(*command, **options)
        out, err = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, code, out + err)
        return out, err

    def start_alone(self, *command):
        """A program with no adrt around it: it finds one on the PATH, and its state here."""
        process = subprocess.Popen(
            command,
            env={**self.environment(), "PYTHONPATH": PACKAGE},
            cwd=self.dir,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.running.append(process)
        return process

    def run_alone(self, *command, code=0):
        process = self.start_alone(*command)
        out, err = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, code, out + err)
        return out, err

    def script(self, source, name="agent.py"):
        path = os.path.join(self.dir, name)
        with open(path, "w") as file:
            file.write(textwrap.dedent(source))
        return sys.executable, path

    def adrt(self, *arguments):
        done = subprocess.run(
            [ADRT, *arguments],
            env=self.environment(),
            cwd=self.dir,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def state(self, name="agent"):
        return json.loads(self.adrt("state", "show", name, "--json"))["state"]

    def wait_for(self, condition, process):
        end = time.monotonic() + PATIENCE
        while not condition():
            if process.poll() is not None or time.monotonic() > end:
                self.fail(f"it never came about: {process.communicate()}")
            time.sleep(0.005)

    def has(self, name):
        return os.path.exists(os.path.join(self.dir, name))

    def size(self, name):
        try:
            return os.path.getsize(os.path.join(self.dir, name))
        except FileNotFoundError:
            return 0

    def kill_child_of(self, process):
        children = []
        try:
            for task in os.listdir(f"/proc/{process.pid}/task"):
                with open(f"/proc/{process.pid}/task/{task}/children") as file:
                    children += file.read().split()
        except OSError:
            return  # it has ended
        for child in children:
            try:
                os.kill(int(child), signal.SIGKILL)
            except ProcessLookupError:
                pass
