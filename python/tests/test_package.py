"""The package as files: what it needs, what it costs, which copy of it is used."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from fake_adrt import PACKAGE, ROOT, clean_environment, run, run_plain

SOURCE = os.path.join(PACKAGE, "adaptive_runtime")
OLDEST_PYTHON = (3, 9)
NOTHING_BUT_THESE = {  # of the standard library, at import
    "__future__", "_json", "_signal", "_thread", "asyncio", "atexit", "binascii", "collections",
    "contextvars", "dataclasses", "datetime",
    "fcntl", "hashlib", "importlib", "inspect", "json", "math", "os", "struct", "pytest", "random", "select", "signal", "sys",
    "time", "traceback", "types", "typing", "warnings",
}  # fmt: skip
FOR_FRAMEWORKS = {"langgraph.py": {"langgraph", "langchain_core"}}
"""Modules for those who have a framework, and what of it they import."""
MAX_LINES = 400


def sources():
    for directory, _, names in sorted(os.walk(SOURCE)):
        for name in sorted(names):
            if name.endswith(".py"):
                path = os.path.join(directory, name)
                with open(path, encoding="utf-8") as file:
                    yield os.path.relpath(path, SOURCE), file.read()


class Files(unittest.TestCase):
    def test_the_oldest_python_can_read_them(self):
        for name, text in sources():
            with self.subTest(name):
                ast.parse(text, name, feature_version=OLDEST_PYTHON)
                self.assertIn("from __future__ import annotations", text + _only_constants(name))

    def test_they_need_nothing_installed(self):
        for name, text in sources():
            allowed = NOTHING_BUT_THESE | FOR_FRAMEWORKS.get(name, set())
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.Import):
                    modules = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and node.level == 0:
                    modules = [node.module]
                else:
                    continue
                for module in modules:
                    self.assertIn(module.split(".")[0], allowed, name)

    def test_they_are_small_and_documented(self):
        for name, text in sources():
            self.assertLessEqual(text.count("\n"), MAX_LINES, name)
            self.assertTrue(ast.get_docstring(ast.parse(text)), name)

    def test_the_version_is_that_of_adrt(self):
        with open(os.path.join(ROOT, "Cargo.toml"), encoding="utf-8") as file:
            version = re.search(r'^version = "(.+)"$', file.read(), re.M).group(1)
        with open(os.path.join(SOURCE, "_version.py"), encoding="utf-8") as file:
            self.assertIn(f'__version__ = "{version}"\n', file.read())

    def test_it_is_typed(self):
        self.assertTrue(os.path.exists(os.path.join(SOURCE, "py.typed")))

    def test_all_of_all_is_there(self):
        result = run_plain(
            """
            import adaptive_runtime
            for name in adaptive_runtime.__all__:
                assert getattr(adaptive_runtime, name) is not None
            assert dir(adaptive_runtime) == sorted(adaptive_runtime.__all__)
            try: adaptive_runtime.nothing
            except AttributeError: pass
            """
        )
        self.assertEqual((result.returncode, result.stderr), (0, ""))


class Start(unittest.TestCase):
    def test_an_agent_starts_without_the_heavy_modules(self):
        # They take as long as the rest of Python's start together.
        agent = run(
            """
            import sys
            before = set(sys.modules)
            from adaptive_runtime import Agent
            Agent().patch({"n": [1, 2.5, "x"]})
            heavy = {"asyncio", "json", "re", "enum", "typing", "threading", "dataclasses",
                     "collections", "functools", "warnings", "importlib.util"}
            print(sorted(heavy & (set(sys.modules) - before)))
            """
        )
        self.assertEqual((agent.code, agent.stdout), (0, "[]\n"), agent.told())


class TwoCopies(unittest.TestCase):
    """adrt's own copy comes first on the path, and steps aside for an installed one."""

    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.embedded = self.copy("embedded")
        with open(os.path.join(self.embedded, "adaptive_runtime", "_embedded"), "w"):
            pass

    def copy(self, name):
        place = os.path.join(self.directory.name, name)
        shutil.copytree(
            SOURCE,
            os.path.join(place, "adaptive_runtime"),
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        return place

    def used(self, *path):
        result = subprocess.run(
            [
                sys.executable,
                "-c",
                "import adaptive_runtime, adaptive_runtime.testing as testing\n"
                "from adaptive_runtime import Agent, Runtime\n"
                "assert Runtime.__mro__[0] is adaptive_runtime.runtime.Runtime\n"
                "assert testing.Crash is adaptive_runtime._errors.Crash\n"
                "with testing.Adrt() as adrt:\n"
                "    Agent().patch({'n': 1})\n"
                "    assert adrt.state == {'n': 1}\n"
                "print(adaptive_runtime.__file__)\nprint(testing.__file__)",
            ],
            env=clean_environment(PYTHONPATH=os.pathsep.join(path)),
            cwd=self.directory.name,
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(result.returncode, 0, result.stderr)
        copies = {os.path.dirname(line) for line in result.stdout.splitlines()}
        self.assertEqual(len(copies), 1, copies)
        return os.path.dirname(copies.pop()), result.stderr

    def test_it_is_used_where_there_is_no_other(self):
        self.assertEqual(self.used(self.embedded), (self.embedded, ""))

    def test_it_steps_aside(self):
        installed = self.copy("installed")
        self.assertEqual(self.used(self.embedded, installed), (installed, ""))

    def test_one_that_came_before_it_is_simply_used(self):
        mine = self.copy("mine")
        self.assertEqual(self.used(mine, self.embedded), (mine, ""))

    def test_not_for_one_that_speaks_another_protocol(self):
        installed = self.copy("installed")
        version = os.path.join(installed, "adaptive_runtime", "_version.py")
        with open(version, "w", encoding="utf-8") as file:
            file.write('__version__ = "9.0.0"\nPROTOCOL = 9\n')
        self.assertEqual(self.used(self.embedded, installed), (self.embedded, ""))

    def test_not_for_another_package_of_that_name(self):
        other = os.path.join(self.directory.name, "other")
        os.makedirs(os.path.join(other, "adaptive_runtime"))
        with open(os.path.join(other, "adaptive_runtime", "__init__.py"), "w"):
            pass
        self.assertEqual(self.used(self.embedded, other), (self.embedded, ""))

    def test_not_for_a_broken_one(self):
        installed = self.copy("installed")
        os.unlink(os.path.join(installed, "adaptive_runtime", "_state.py"))
        place, said = self.used(self.embedded, installed)
        self.assertEqual(place, self.embedded)
        self.assertIn("can't be imported", said)

    def test_the_wire_goes_to_the_one_that_is_used(self):
        installed = self.copy("installed")
        agent = run(
            "import adaptive_runtime as a\na.Agent().patch({'file': a.__file__})",
            environment={"PYTHONPATH": os.pathsep.join((self.embedded, installed))},
        )
        self.assertEqual(agent.code, 0, agent.told())
        self.assertTrue(agent.store.state["file"].startswith(installed))


def _only_constants(name):
    return "from __future__ import annotations" if name == "_version.py" else ""


if __name__ == "__main__":
    unittest.main()
