"""The confidence engine by itself: how likely it is that acting is right.

    from adaptive_runtime import ConfidenceEngine
    engine = ConfidenceEngine()
    confidence = engine.calculate(event, "high")
    engine.record_outcome(success=True, call_id=confidence.call_id)

What an event shows is held against what came of such events before: for each
(context, risk) two numbers, `a` and `b`, bend the evidence into a probability
(an online Platt calibration), and each outcome moves them a little. Long
without one, they go back to where they began. Asking changes nothing.

`Runtime.confidence_engine` is the one in adrt, which is remembered; this one
forgets with the process.
"""

from __future__ import annotations

import math
import struct
import time

from . import _context
from ._engine_results import Confidence
from ._errors import InvalidParams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

CAUTION = {"low": 1.00, "medium": 0.95, "high": 0.90, "critical": 0.80}
THRESHOLDS = {"low": 0.20, "medium": 0.45, "high": 0.60, "critical": 0.75}
RAISED = {"calm": 0.0, "elevated": 0.05, "high": 0.10, "critical": 0.20}
"""By how much the threshold is higher while the machine is under pressure."""
HIGHEST_THRESHOLD = 0.95

LEAST, MOST = 0.02, 0.98
DIGITS = 1e12
"""A confidence is told in steps of 1 / 10^12."""
UNKNOWN = 0.5
"""The evidence of an event that has no signals."""
RATE_A, RATE_B = 0.03, 0.1
LEAST_A, MOST_A = 0.1, 3.0
OUTCOMES_NEEDED = 5
"""With fewer, what is known about the risk in general serves."""
HALF_LIFE_SECONDS = 7 * 24 * 3600.0
ANY = "*"
"""The context that stands for all of them."""


class Cell:
    """What has been learnt about one (context, risk)."""

    __slots__ = ("a", "b", "outcomes", "taught")

    def __init__(
        self, a: float = 1.0, b: float = 0.0, outcomes: int = 0, taught: float = 0.0
    ) -> None:
        self.a = a
        self.b = b
        self.outcomes = outcomes
        self.taught = taught  # when, in seconds

    def aged(self, now: float) -> tuple[float, float, float]:
        """`a` and `b` as they count now, and how much of what was learnt is left."""
        if self.outcomes == 0:
            return 1.0, 0.0, 1.0
        left = 0.5 ** (max(0.0, now - self.taught) / HALF_LIFE_SECONDS)
        # Written so that with all of it left nothing changes, to the last bit.
        return self.a * left + (1.0 - left), self.b * left, left

    def learn(self, logit_q: float, success: bool, now: float) -> Cell:
        """This, with one outcome more."""
        a, b, _ = self.aged(now)
        error = _sigmoid(a * logit_q + b) - (1.0 if success else 0.0)
        a = _clamp(a - RATE_A * error * logit_q, LEAST_A, MOST_A)
        return Cell(a, b - RATE_B * error, self.outcomes + 1, max(now, self.taught))


class ConfidenceEngine:
    """Confidence that learns from outcomes."""

    def __init__(
        self,
        *,
        thresholds: Mapping[str, float] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`thresholds` by risk, in place of the usual ones; `clock` tells seconds."""
        self.thresholds = checked_thresholds(thresholds)
        self.cells: dict[tuple[str, str], Cell] = {}
        self._clock = clock
        self._calls = 0

    def calculate(
        self,
        event: Mapping[str, Any],
        context_risk: str,
        context: str | None = None,
        *,
        environment: str = "calm",
    ) -> Confidence:
        """The confidence in acting on an event, at this risk and in this context."""
        risk = _context.risk_named(context_risk, "context_risk")
        base = _evidence(_context.read_signals(event))
        caution = CAUTION[risk]
        q = _clamp(base * caution, LEAST, MOST)
        a, b, left = self.serving(context, risk).aged(self._clock())
        raw = _sigmoid(a * _logit(q) + b)
        # Severity 0.2 is enough for a threshold of 0.2, whatever the last bit became.
        final = _clamp(math.floor(raw * DIGITS + 0.5) / DIGITS, LEAST, MOST)
        self._calls += 1
        return Confidence(
            {
                "call_id": _call_id(risk, q, self._calls, context),
                "final": final,
                "base": base,
                "context_adjustment": caution,
                "history_weight": final / q,
                "decay_factor": left,
                "threshold": raised_threshold(self.thresholds, risk, environment),
            }
        )

    def record_outcome(
        self,
        success: bool,
        confidence: float | None = None,
        context_risk: str | None = None,
        context: str | None = None,
        *,
        call_id: str | None = None,
    ) -> None:
        """Learns how acting came out: of a `calculate`, or of a confidence at a risk."""
        if not isinstance(success, bool):
            raise InvalidParams(f"success is True or False, not {success!r}")
        now = self._clock()
        if call_id is not None:
            risk, q, context = _read_call(call_id)
        else:
            if confidence is None or context_risk is None:
                raise InvalidParams("an outcome has a call_id, or a confidence and a context_risk")
            risk = _context.risk_named(context_risk, "context_risk")
            told = _clamp(_context.number(float(confidence), "confidence", 1.0), LEAST, MOST)
            a, b, _ = self.serving(context, risk).aged(now)
            q = _clamp(_sigmoid((_logit(told) - b) / a), LEAST, MOST)
        for name in {ANY if context is None else context, ANY}:
            cell = self.cells.get((name, risk), Cell())
            self.cells[name, risk] = cell.learn(_logit(_clamp(q, LEAST, MOST)), success, now)

    def serving(self, context: str | None, risk: str) -> Cell:
        """What calculates: of the context if it has seen enough, else of the risk."""
        if context is not None:
            cell = self.cells.get((context, risk))
            if cell is not None and cell.outcomes >= OUTCOMES_NEEDED:
                return cell
        return self.cells.get((ANY, risk), Cell())


def checked_thresholds(thresholds: Mapping[str, float] | None) -> dict[str, float]:
    """The thresholds by risk."""
    own = {
        _context.risk_named(risk): _context.number(value, f"the threshold of {risk}", 1.0)
        for risk, value in (thresholds or {}).items()
    }
    return {**THRESHOLDS, **own}


def raised_threshold(thresholds: Mapping[str, float], risk: str, environment: str) -> float:
    """The threshold of a risk in an environment.

    Raising it never goes so far that the best evidence would not be enough.
    """
    if environment not in RAISED:
        raise InvalidParams(
            f"environment is one of {', '.join(RAISED)}, not {environment!r}",
            data={"member": "environment"},
        )
    usual = thresholds[risk]
    most = HIGHEST_THRESHOLD * CAUTION[risk]
    return max(usual, min(usual + RAISED[environment], most))


def _evidence(signals: Mapping[str, float]) -> float:
    total = weights = 0.0
    for name, weight, one, _ in _context.SIGNALS:
        if name in signals:
            total += weight * min(signals[name] / one, 1.0)
            weights += weight
    return total / weights if weights else UNKNOWN


def _call_id(risk: str, q: float, number: int, context: str | None) -> str:
    """All that an outcome needs: nothing is kept of a call."""
    return f"c1.{risk}.{struct.pack('>d', q).hex()}.{number:016x}.{context or ''}"


def _read_call(call_id: str) -> tuple[str, float, str | None]:
    try:
        version, risk, bits, number, context = call_id.split(".", 4)
        [q] = struct.unpack(">d", bytes.fromhex(bits))
        int(number, 16)
        if version == "c1" and 0 < q < 1:
            return _context.risk_named(risk), q, context or None
    except (AttributeError, ValueError, struct.error, InvalidParams):
        pass
    raise InvalidParams(f"{call_id!r} is no call_id of calculate()", data={"member": "call_id"})


def _clamp(value: float, least: float, most: float) -> float:
    return min(max(value, least), most)


def _logit(p: float) -> float:
    return math.log(p / (1.0 - p))


def _sigmoid(x: float) -> float:
    if x < 0:  # exp of a large number would overflow
        return math.exp(x) / (1.0 + math.exp(x))
    return 1.0 / (1.0 + math.exp(-x))
