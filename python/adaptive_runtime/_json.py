"""JSON text in and out, and the name of the member that can't be said in it.

`json` itself imports `re` and with it half of a Python start (6 of 15 ms), so
its two C halves are used directly; where they are missing or look different
(another Python), `json` does the work.

Written: no NaN or Infinity, no spaces, text as UTF-8 where it is sound.
Read: integers of any length.
"""

from __future__ import annotations

from ._errors import NotJson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any


class _Unknown(Exception):
    """The encoder met an object it does not know."""


def _refuse(value: object) -> Any:
    raise _Unknown


def _long_int(digits: str) -> int:
    """An integer past the interpreter's limit on digits, piece by piece."""
    negative = digits.startswith("-")
    if negative:
        digits = digits[1:]
    number, step = 0, 4000
    for start in range(0, len(digits), step):
        piece = digits[start : start + step]
        number = number * 10 ** len(piece) + int(piece)
    return -number if negative else number


class _Scan:
    """What the C scanner asks its owner for."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int: Any = int
    parse_constant = float
    memo: dict[str, str] = {}


def _build() -> tuple[Callable[[Any], str], Callable[[Any], str], Callable[[str], Any]]:
    """Encoder, encoder to plain ASCII, decoder."""
    try:
        return _build_fast()
    except Exception:  # another interpreter; whatever it lacks, `json` has
        import json

        fine = json.JSONEncoder(
            ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_refuse
        )
        plain = json.JSONEncoder(allow_nan=False, separators=(",", ":"), default=_refuse)
        return fine.encode, plain.encode, _decode_slowly


def _decode_slowly(text: str) -> Any:
    import json

    return json.loads(text, parse_int=_long_int)


def _build_fast() -> tuple[Callable[[Any], str], Callable[[Any], str], Callable[[str], Any]]:
    import _json

    def encoder(escape: Callable[[str], str]) -> Callable[[Any], str]:
        make = _json.make_encoder

        def encode(value: Any) -> str:
            # A new marker table each time: it holds what is being walked, and
            # an exception would leave it dirty.
            return "".join(
                make({}, _refuse, escape, None, ":", ",", False, False, False)(value, 0)
            )

        return encode

    asker: Any = _Scan
    scan = _json.make_scanner(asker)

    def decode(text: str) -> Any:
        try:
            value, end = scan(text, 0)
            if end == len(text):
                return value
        except (StopIteration, ValueError, SystemError):
            # A very long integer, white space in front, or no JSON at all; the
            # scanner can't even say which before `json` is imported.
            pass
        return _decode_slowly(text)

    fine, plain = encoder(_json.encode_basestring), encoder(_json.encode_basestring_ascii)
    sample: dict[str, Any] = {"a": [1, 0.5, None, True, "\u00e9\n"], "b": {}}
    if decode(fine(sample)) != sample or plain("\u00e9") != '"\\u00e9"':
        raise ImportError("the C codec does not work as expected")
    return fine, plain, decode


_fine, _plain, _decode = _build()


def encode(value: Any, name: str) -> bytes:
    """The JSON text of a value; `name` is what error messages call it.

    Raises `NotJson`, naming the member that is the trouble.
    """
    try:
        text = _fine(value)
    except (_Unknown, ValueError, TypeError, RecursionError) as error:
        raise NotJson(_explain(value, name, error)) from None
    try:
        return text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair: only an escape can say it
        return _plain(value).encode()


def canonical(value: Any, name: str) -> bytes:
    """The same text for the same value, whatever the order of its members."""
    encode(value, name)  # for the message, should it be no JSON
    import json

    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    except TypeError as error:  # keys of several kinds, which have no order
        raise NotJson(f"{name} can't be put in order: {error}") from None


def decode(text: bytes) -> Any:
    """The value of a JSON text. Raises `ValueError`."""
    return _decode(str(text, "utf-8"))


def decode_lines(data: bytes) -> list[Any]:
    """The values of whole lines of JSON, all in one go. Raises `ValueError`."""
    # A newline can't be inside a JSON value, only between two.
    lines = [line for line in str(data, "utf-8").split("\n") if line and line != "\r"]
    try:
        values = _decode("[" + ",".join(lines) + "]")
        if len(values) == len(lines):
            return list(values)
    except ValueError:
        pass
    return [_decode(line) for line in lines]


_WALK_DEPTH = 150
"""How deep the search for the trouble goes; it is recursive."""


def _explain(value: Any, name: str, error: Exception) -> str:
    for path, reason in _troubles(value, name, ()):
        return f"{path} {reason}"
    return f"{name} can't be written as JSON: {error}"


def _troubles(value: Any, path: str, above: tuple[int, ...]) -> Iterator[tuple[str, str]]:
    if value is None or isinstance(value, (str, bool, int)):
        return
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            yield path, f"is {value!r}, for which JSON has no word; store None or a text instead"
    elif not isinstance(value, (dict, list, tuple)):
        kind = type(value).__name__
        yield path, f"is a {kind}; JSON has dict, list, str, int, float, bool and None"
    elif id(value) in above:
        yield path, "contains itself"
    elif len(above) >= _WALK_DEPTH:
        yield path.split("[", 1)[0], f"is nested more than {_WALK_DEPTH} deep"
    else:
        yield from _inside(value, path, (*above, id(value)))


def _inside(value: Any, path: str, above: tuple[int, ...]) -> Iterator[tuple[str, str]]:
    if not isinstance(value, dict):
        for index, item in enumerate(value):
            yield from _troubles(item, f"{path}[{index}]", above)
        return
    for key, item in value.items():
        if not (key is None or isinstance(key, (str, bool, int, float))):
            yield path, f"has the key {key!r}; keys in JSON are text"
            return
        name = f'"{key}"' if isinstance(key, str) else repr(key)
        yield from _troubles(item, f"{path}[{name}]", above)
