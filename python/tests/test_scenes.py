"""The article's scenes, as `examples/` plays them, under the real adrt."""

import json
import os
import re
import subprocess
import sys
import unittest

from real_adrt import EXAMPLES, RealAdrt


def example(name, *arguments):
    return (sys.executable, os.path.join(EXAMPLES, name), *arguments)


class Scenes(RealAdrt):
    def emit(self, name, **event):
        self.adrt("events", "emit", name, json.dumps(event))

    def pressure(self, memory):
        """A machine whose memory is used to so many per cent."""
        root = os.path.join(self.dir, "machine")
        os.makedirs(os.path.join(root, "proc"), exist_ok=True)
        draft = os.path.join(root, "meminfo")
        with open(draft, "w") as file:
            file.write(f"MemTotal: 1000000 kB\nMemAvailable: {10_000 * (100 - memory)} kB\n")
        os.rename(draft, os.path.join(root, "proc", "meminfo"))
        return ("--sensors-root", root, "--sensors-every", "20ms")


class Monitor(Scenes):
    def rounds(self, out):
        return re.findall(r"^ *(\d+) \w+ +cpu", out, re.MULTILINE)

    def test_it_acts_asks_and_reports(self):
        out, err = self.run_to_end(*example("production_monitor.py", "--every", "0"))
        self.assertEqual(self.rounds(out), [str(n) for n in range(10)], err)
        self.assertIn("restart_service", out)
        self.assertIn("scale_up_immediate (asks: review 1)", out)
        self.assertIn("report: 4 heartbeat", out)
        decisions = json.loads(self.adrt("decisions", "list", "agent", "--json"))
        self.assertEqual(len(decisions), 10)
        self.assertIn("scale_up_immediate", self.adrt("reviews", "list", "agent"))

    def test_killed_again_and_again_each_round_counts_once(self):
        process = self.start(*example("production_monitor.py", "--every", "0.02"))
        while process.poll() is None:
            before = self.random.uniform(0.15, 0.6)
            try:
                process.wait(timeout=before)
            except subprocess.TimeoutExpired:
                self.kill_child_of(process)
        out, err = process.communicate()
        self.assertEqual(process.returncode, 0, out + err)
        events = json.loads(self.adrt("events", "list", "agent", "--json"))
        self.assertEqual(len(events), 10, "a round is one event")
        decisions = json.loads(self.adrt("decisions", "list", "agent", "--json"))
        self.assertEqual(len(decisions), 10, "and one decision")

    def test_under_pressure_the_report_is_short(self):
        arguments = ("--every", "0", "--patience", "0")
        out, err = self.run_to_end(
            *example("production_monitor.py", *arguments), options=self.pressure(memory=90)
        )
        self.assertIn("report: high pressure on this machine, so only this line", out, err)


class Operations(Scenes):
    def setUp(self):
        super().setUp()
        self.repair = os.path.join(self.dir, "repair.sh")
        with open(self.repair, "w") as file:
            file.write("#!/bin/sh\necho $1 >> repaired\n[ $1 != bad ]\n")
        os.chmod(self.repair, 0o755)

    def agent(self, count):
        return self.start(
            *example("ops_automation.py", "--repair", self.repair, "--count", str(count)), name="ops"
        )

    def reviews(self):
        return json.loads(self.adrt("reviews", "list", "ops", "--json"))

    def repaired(self):
        with open(os.path.join(self.dir, "repaired")) as file:
            return file.read().split()

    def test_what_is_sure_is_done_and_what_is_not_is_asked(self):
        process = self.agent(4)
        self.wait_for(lambda: self.has("state/ops/db/adrt.db"), process)
        self.emit("ops", type="recovery_needed", service="db", severity=0.9)
        self.emit("ops", type="recovery_needed", service="bad", severity=0.9)
        self.emit("ops", type="recovery_needed", service="cache", severity=0.1)
        asks = "run_recovery of cache: run"
        self.wait_for(lambda: any(asks in review["prompt"] for review in self.reviews()), process)
        self.kill_child_of(process)  # the question outlives who asked it
        self.adrt("reviews", "approve", "ops", "1", "--note", "go on")
        self.wait_for(lambda: "cache" in self.repaired(), process)
        self.emit("ops", type="recovery_needed", service="web", severity=0.1)
        self.wait_for(lambda: len(self.reviews()) == 1, process)
        self.adrt("reviews", "reject", "ops", str(self.reviews()[0]["id"]))
        out, err = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 0, err)
        self.assertEqual(self.repaired(), ["db", "bad", "cache"])
        self.assertIn("bad: repair failed with code 1", out)
        self.assertIn("cache: approved by", out)
        self.assertIn("web: left alone", out)
        outcomes = [row.get("success") for row in json.loads(self.adrt("decisions", "list", "ops", "--json"))]
        self.assertEqual(len(outcomes), 4)
        self.assertEqual(outcomes.count(None), 1, "each repair has taught once")


class Edge(Scenes):
    def run_device(self, *options):
        rules = ("--rules", os.path.join(EXAMPLES, "edge_rules.toml"))
        feed = ("--events", os.path.join(EXAMPLES, "edge_feed.ndjson"))
        return self.run_to_end(
            *example("edge_device.py", "--frames", "22"), options=(*rules, *feed, *options)
        )

    def test_work_is_shed_with_the_heat_and_taken_up_again(self):
        out, _ = self.run_device()
        done = [line.split()[-1] for line in out.splitlines()]
        self.assertEqual(len(done), 22)
        self.assertEqual((done[0], done[-1]), ("analyze_frame", "analyze_frame"))
        self.assertEqual(done[9:15], ["shrink_frame", "skip_frame", "skip_frame", "skip_frame",
                                      "skip_frame", "skip_frame"])
        self.assertEqual(sum(self.state()["frames"].values()), 22)

    def test_a_busy_machine_makes_frames_smaller(self):
        out, _ = self.run_device(*self.pressure(memory=90))
        self.assertNotIn("analyze_frame", out)
        self.assertIn("shrink_frame", out)


class Pipeline(Scenes):
    def test_a_batch_waits_for_a_calmer_machine(self):
        arguments = ("--rows", "2000", "--patience", "600")
        options = self.pressure(memory=90)
        process = self.start(*example("pipeline.py", *arguments), options=options)
        line = process.stdout.readline()
        self.assertEqual(line, "high pressure on this machine: waiting\n")
        self.assertEqual(self.size("cleaned.csv"), 0)
        self.adrt("stop")
        out, err = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 0, out + err)
        out, _ = self.run_to_end(*example("pipeline.py", *arguments), options=self.pressure(memory=5))
        self.assertIn("2000 rows", out)


if __name__ == "__main__":
    unittest.main()
