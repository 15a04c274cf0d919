"""The context engine by itself: what an event says about how things are.

    from adaptive_runtime import ContextEngine
    ContextEngine().analyze({"type": "service_overload", "cpu": 94, "severity": 0.82}).risk

A table of weights and thresholds and nothing else: no clock, no state, and
nothing is guessed. A signal that is no number is an error, not a zero.
`Runtime.context_engine` asks adrt, whose tables may be configured; this is
the same arithmetic, for where there is no adrt.
"""

from __future__ import annotations

from ._engine_results import RISKS, Context
from ._errors import InvalidParams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Optional

    Band = tuple[float, str]

SIGNALS: tuple[tuple[str, float, float, Optional[float]], ...] = (
    # name, weight, what counts as 1, the most there can be
    ("severity", 0.35, 1.0, 1.0),
    ("cpu", 0.20, 100.0, 100.0),
    ("memory", 0.20, 100.0, 100.0),
    ("error_rate", 0.15, 1.0, 1.0),
    ("latency_ms", 0.10, 5000.0, None),
)
"""In the order in which they are summed: a pressure may lie right at a threshold."""

_BY_PRESSURE: tuple[Band, ...] = ((0.85, "critical"), (0.60, "high"), (0.35, "medium"))
_BY_SEVERITY: tuple[Band, ...] = ((0.95, "critical"), (0.80, "high"), (0.50, "medium"))
_STABILITY: tuple[Band, ...] = ((0.85, "critical"), (0.65, "low"), (0.40, "degraded"))

CONTEXTS = {
    "service_overload": "resource_pressure",
    "memory_leak": "resource_pressure",
    "anomaly_detected": "anomaly_signal",
    "timeout": "latency_issue",
    "auth_failure": "security_signal",
    "recovery_needed": "self_healing",
    "degraded_service": "service_degradation",
}
"""What a type of event is a sign of; any other is `unknown_<type>`."""

_TAGS = (
    ("cpu", 80.0, "cpu:high"),
    ("memory", 80.0, "memory:high"),
    ("error_rate", 0.5, "errors:elevated"),
    ("latency_ms", 2000.0, "latency:high"),
)


class ContextEngine:
    """Says what an event means. The same event always means the same."""

    def __init__(self, custom_context_map: Mapping[str, str] | None = None) -> None:
        """`custom_context_map` names contexts by type of event, before the built-in names."""
        for kind, name in (custom_context_map or {}).items():
            if not isinstance(kind, str) or not isinstance(name, str):
                raise InvalidParams(
                    f"custom_context_map has texts for types of events, not {kind!r}: {name!r}"
                )
        self._contexts = {**CONTEXTS, **(custom_context_map or {})}

    def analyze(self, event: Mapping[str, Any]) -> Context:
        """Risk, stability, context, pressure and tags of an event."""
        kind = event_type(event)
        signals = read_signals(event)
        pressure = 0.0
        for name, weight, one, _ in SIGNALS:
            if name in signals:
                pressure += weight * min(signals[name] / one, 1.0)
        pressure = min(pressure, 1.0)  # the sum of all weights is 1, but for the last bit
        severity = signals.get("severity", 0.0)
        risk = max(_class(pressure, _BY_PRESSURE), _class(severity, _BY_SEVERITY), key=RISKS.index)
        tags = [f"risk:{risk}", f"event:{kind}"]
        tags += [tag for name, above, tag in _TAGS if signals.get(name, 0.0) > above]
        return Context(
            {
                "risk": risk,
                "stability": _class(pressure, _STABILITY, "stable"),
                "context": self._contexts.get(kind, f"unknown_{kind}"),
                "pressure_score": pressure,
                "tags": tags,
            }
        )


def event_type(event: Mapping[str, Any]) -> str:
    """The type of an event, which has one."""
    kind = event.get("type") if isinstance(event, dict) else None
    if not isinstance(kind, str):
        raise InvalidParams(
            f'an event is a dict with at least a "type", a text: not {event!r}',
            data={"member": "type"},
        )
    return kind


def read_signals(event: Mapping[str, Any]) -> dict[str, float]:
    """The signals that an event has, as they are. Raises `InvalidParams`, naming the member."""
    signals = {}
    for name, _, _, most in SIGNALS:
        value = event.get(name)
        if value is not None:
            signals[name] = number(value, name, most)
    return signals


def number(value: Any, name: str, most: float | None) -> float:
    """A finite number from 0 on."""
    bounds = "from 0 on" if most is None else f"from 0 to {most:g}"
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            found = float(value)
            if 0 <= found < float("inf") and (most is None or found <= most):
                return abs(found)  # -0.0 is 0
    except OverflowError:
        pass
    raise InvalidParams(f"{name} is a number {bounds}, not {value!r}", data={"member": name})


def risk_named(value: Any, name: str = "risk") -> str:
    """A level of risk."""
    if value not in RISKS:
        raise InvalidParams(
            f"{name} is one of {', '.join(RISKS)}, not {value!r}", data={"member": name}
        )
    risk: str = value
    return risk


def _class(score: float, bands: Sequence[Band], least: str = "low") -> str:
    for threshold, name in bands:
        if score >= threshold:
            return name
    return least
