"""The state on the agent's side: JSON text, patches, the read-only view."""

import copy
import decimal
import json
import pickle
import unittest

from adaptive_runtime import NotJson, PatchFailed
from adaptive_runtime import _json as codec
from adaptive_runtime._state import Mirror, StateDict, apply, freeze, same, thaw

# The cases of RFC 7396's appendix whose target is an object: (state, patch, result).
MERGES = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ({"a": 1}, {"a": {"b": [None]}}, {"a": {"b": [None]}}),
]

# (state, operations, result or None for a failure)
PATCHES = [
    ({}, [{"op": "add", "path": "/a", "value": 1}], {"a": 1}),
    ({"a": [1, 3]}, [{"op": "add", "path": "/a/1", "value": 2}], {"a": [1, 2, 3]}),
    ({"a": [1]}, [{"op": "add", "path": "/a/-", "value": [2]}], {"a": [1, [2]]}),
    ({"a": [1]}, [{"op": "add", "path": "/a/2", "value": 2}], None),
    ({"a": [1]}, [{"op": "add", "path": "/a/01", "value": 2}], None),
    ({}, [{"op": "add", "path": "/a/b", "value": 2}], None),
    ({"a": 1}, [{"op": "add", "path": "", "value": {"b": 2}}], {"b": 2}),
    ({"a": 1}, [{"op": "add", "path": "", "value": 2}], None),
    ({"a": 1, "b": 2}, [{"op": "remove", "path": "/a"}], {"b": 2}),
    ({"a": [1, 2]}, [{"op": "remove", "path": "/a/0"}], {"a": [2]}),
    ({"a": [1, 2]}, [{"op": "remove", "path": "/a/-"}], None),
    ({}, [{"op": "remove", "path": "/a"}], None),
    ({"a": 1}, [{"op": "replace", "path": "/a", "value": None}], {"a": None}),
    ({"a": [1]}, [{"op": "replace", "path": "/a/0", "value": 2}], {"a": [2]}),
    ({}, [{"op": "replace", "path": "/a", "value": 1}], None),
    ({"a": {"b": 1}}, [{"op": "move", "from": "/a/b", "path": "/c"}], {"a": {}, "c": 1}),
    ({"a": {"b": 1}}, [{"op": "move", "from": "/a", "path": "/a/b"}], None),
    ({"a": [1]}, [{"op": "copy", "from": "/a", "path": "/b"}], {"a": [1], "b": [1]}),
    ({"a/b": 1, "m~n": 2}, [{"op": "remove", "path": "/a~1b"}], {"m~n": 2}),
    ({"m~n": 2}, [{"op": "test", "path": "/m~0n", "value": 2.0}], {"m~n": 2}),
    ({"a": 1}, [{"op": "test", "path": "/a", "value": True}], None),
    ({"a": "1"}, [{"op": "test", "path": "/a", "value": 1}], None),
    ({"": 1}, [{"op": "test", "path": "/", "value": 1}], {"": 1}),
    ({}, [{"op": "fly", "path": "/a"}], None),
    ({}, [{"path": "/a"}], None),
]


class Patches(unittest.TestCase):
    def test_merge(self):
        for make in (thaw, freeze):
            for before, patch, after in MERGES:
                with self.subTest(before=before, patch=patch):
                    state = make(before)
                    apply(state, "merge", patch, make)
                    self.assertEqual(state, after)

    def test_json_patch(self):
        for make in (thaw, freeze):
            for before, patch, after in PATCHES:
                with self.subTest(before=before, patch=patch):
                    state = make(before)
                    if after is None:
                        with self.assertRaises(PatchFailed) as caught:
                            apply(state, "json", patch, make)
                        self.assertEqual(caught.exception.data, {"index": 0})
                    else:
                        apply(state, "json", patch, make)
                        self.assertEqual(state, after)

    def test_shallow_keeps_null(self):
        state = {"a": {"b": 1}, "c": 2}
        apply(state, "shallow", {"a": {"x": None}, "c": None}, thaw)
        self.assertEqual(state, {"a": {"x": None}, "c": None})

    def test_same(self):
        self.assertTrue(same({"a": [1, 2.0]}, {"a": [1.0, 2]}))
        for one, other in ((True, 1), (0, False), ([1], [1, 2]), ({"a": 1}, {"b": 1}), (1, "1")):
            self.assertFalse(same(one, other))


class View(unittest.TestCase):
    def setUp(self):
        self.state = freeze({"a": {"b": [1, {"c": 2}]}, "n": 1})

    def test_nothing_changes_it(self):
        inner, items = self.state["a"], self.state["a"]["b"]
        attempts = [
            lambda: self.state.update(n=2),
            lambda: self.state.__setitem__("n", 2),
            lambda: inner.pop("b"),
            lambda: inner.setdefault("x", 1),
            lambda: items.append(1),
            lambda: items.sort(),
            lambda: items.__setitem__(0, 5),
            lambda: items[1].clear(),
            lambda: items.__iadd__([1]),
            lambda: inner.__ior__({"x": 1}),
            lambda: items.__delitem__(0),
        ]
        for attempt in attempts:
            self.assertRaisesRegex(TypeError, "patch", attempt)
        self.assertEqual(self.state, {"a": {"b": [1, {"c": 2}]}, "n": 1})

    def test_copies_are_free(self):
        for mine in (
            self.state.copy(),
            copy.copy(self.state),
            copy.deepcopy(self.state),
            pickle.loads(pickle.dumps(self.state)),
            json.loads(json.dumps(self.state)),
        ):
            mine["a"]["b"][1]["c"] = 3
            mine["a"]["b"].append(4)
        self.assertEqual(self.state["a"]["b"], [1, {"c": 2}])
        self.assertIsInstance(self.state, dict)

    def test_the_mirror_hears_things_once(self):
        mirror = Mirror()
        mirror.reset({"l": []}, 4)
        add = (("json", b'[{"op":"add","path":"/l/-","value":1}]'),)
        mirror.acknowledge(add, 5)
        mirror.acknowledge(add, 5)
        self.assertEqual((mirror.value, mirror.version, mirror.stale), ({"l": [1]}, 5, False))
        mirror.told("merge", {"x": 1}, 6)
        mirror.told("set", {"y": 1}, 7)
        mirror.told("merge", {"x": 1}, 6)
        self.assertEqual(mirror.value, {"y": 1})
        mirror.told("merge", None, 8)
        self.assertTrue(mirror.stale)
        self.assertIsInstance(mirror.value, StateDict)


class Text(unittest.TestCase):
    def test_round_trips(self):
        values = [
            {"a": [1, -2.5, True, None, "é \u2028 \"\\\n\x00 😀"], "": {}},
            10**4000,
            [1e300, 5e-324, -0.0, 0.1],
            "lone \ud800 half",
        ]
        for value in values:
            self.assertEqual(codec.decode(codec.encode(value, "v")), value)
        for digits, number in (
            ("1" + "0" * 5000, 10**5000),
            ("-" + "9" * 12345, 1 - 10**12345),
        ):
            self.assertEqual(codec.decode(f'{{"n":[{digits}]}}'.encode()), {"n": [number]})
        self.assertEqual(codec.encode({"é": (1, 2)}, "v"), '{"é":[1,2]}'.encode())
        self.assertEqual(codec.encode(["\ud800"], "v"), b'["\\ud800"]')

    def test_what_json_itself_does(self):
        value = {"a": [0.1, 1e22, "\x7f\u00ff"], "b": {"c": None}, "d": [], "e": "</script>"}
        plain = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        self.assertEqual(codec.encode(value, "v").decode(), plain)

    def test_lines(self):
        self.assertEqual(codec.decode_lines(b'{"a":1}\r\n\n{"b":"x\\ny"}\n'), [{"a": 1}, {"b": "x\ny"}])
        for bad in (b'{"a":1', b"1 2\n", b'{"a":1},{"b":2}\n', b"\xff\n", b'["a\n"]\n'):
            with self.assertRaises(ValueError, msg=bad):
                codec.decode_lines(bad)

    def test_the_trouble_is_named(self):
        circle = []
        circle.append({"again": circle})
        deep = []
        for _ in range(100_000):
            deep = [deep]
        cases = [
            ({"a": [0, 1, 2, {1}]}, 'patch["a"][3] is a set'),
            ({"a": {"b": float("nan")}}, 'patch["a"]["b"] is nan'),
            ([1, float("-inf")], "patch[1] is -inf"),
            ({"a": b"x"}, 'patch["a"] is a bytes'),
            ({"a": {(1, 2): 3}}, 'patch["a"] has the key (1, 2)'),
            ({"d": decimal.Decimal(1)}, 'patch["d"] is a Decimal'),
            (circle, 'patch[0]["again"] contains itself'),
            (deep, "patch is nested"),
            (object(), "patch is a object"),
        ]
        for value, message in cases:
            with self.assertRaises(NotJson) as caught:
                codec.encode(value, "patch")
            self.assertTrue(str(caught.exception).startswith(message), caught.exception)
            self.assertIsInstance(caught.exception, ValueError)


if __name__ == "__main__":
    unittest.main()
