"""Rules of decisions: the built-in table, and how a program's own are written.

    ("my_context", "high", 0.70, "my_action", "my_reason")
    {"context": "my_context", "risk": "high+", "action": "my_action", "reason": "my_reason"}

None (or nothing) for context or risk fits any; "high+" is high or above. The
first that fits is the one; `min_confidence` is looked at last.
"""

from __future__ import annotations

from . import _context
from ._engine_results import RISKS
from ._errors import InvalidParams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any, Union

    WrittenRule = Union["Rule", Mapping[str, Any], Sequence[Any]]

GATES = ("never", "risk", "full")
_WATCHES = (
    "monitor_and_wait",
    "increase_monitoring",
    "flag_for_review",
    "health_check",
    "cache_warmup",
)
_RELIEVES = ("throttle_requests", "scale_up_immediate", "circuit_breaker_open")

FIELDS = ("context", "risk", "min_confidence", "action", "reason", "gate")


class Rule:
    """When (context, risk, confidence), what (action, why), and how strictly it is asked."""

    __slots__ = FIELDS

    def __init__(
        self,
        context: str | None,
        risk: str | None,
        min_confidence: float,
        action: str,
        reason: str,
        gate: str | None = None,
    ) -> None:
        for name, value in (("context", context), ("action", action), ("reason", reason)):
            if not (isinstance(value, str) and value) and not (name == "context" and value is None):
                raise InvalidParams(f"a rule's {name} is a text, not {value!r}")
        if risk is not None:
            _context.risk_named(risk[:-1] if _or_above(risk) else risk, "a rule's risk")
        if gate is not None and gate not in GATES:
            raise InvalidParams(f"a rule's gate is one of {', '.join(GATES)}, not {gate!r}")
        self.context = context
        self.risk = risk
        self.min_confidence = _context.number(min_confidence, "a rule's min_confidence", 1.0)
        self.action = action
        self.reason = reason
        self.gate = gate_of(action) if gate is None else gate

    def fits(self, context: str, risk: str, confidence: float) -> bool:
        """Whether this is the one."""
        return (
            self.context in (None, context)
            and self._fits_risk(risk)
            and confidence >= self.min_confidence
        )

    def _fits_risk(self, risk: str) -> bool:
        if self.risk is not None and _or_above(self.risk):
            return RISKS.index(risk) >= RISKS.index(self.risk[:-1])
        return self.risk in (None, risk)

    def __repr__(self) -> str:
        return f"Rule({', '.join(f'{name}={getattr(self, name)!r}' for name in FIELDS)})"


def rule(written: WrittenRule, where: str = "rule") -> Rule:
    """A rule, however it is written; `where` is what errors call it."""
    try:
        if isinstance(written, Rule):
            return written
        if isinstance(written, dict):
            return _from_members(written)
        if isinstance(written, (list, tuple)) and len(written) == 5:
            return Rule(*written)
    except InvalidParams as error:
        raise InvalidParams(f"{where}: {error}", data=error.data) from None
    raise InvalidParams(
        f"{where} is (context, risk, min_confidence, action, reason), or a dict of these and "
        f"perhaps a gate: not {written!r}"
    )


def rules(written: Iterable[WrittenRule] | None, name: str) -> list[Rule]:
    """Several."""
    return [rule(one, f"{name}[{index}]") for index, one in enumerate(written or ())]


def _from_members(members: Mapping[str, Any]) -> Rule:
    unknown = members.keys() - set(FIELDS)
    if unknown:
        raise InvalidParams(f"a rule has no {sorted(unknown)[0]!r}, only {', '.join(FIELDS)}")
    given = {"context": None, "risk": None, "min_confidence": 0, **members}
    missing = [name for name in ("action", "reason") if name not in given]
    if missing:
        raise InvalidParams(f"a rule has a {missing[0]}")
    return Rule(**given)


def written(rule: Rule) -> dict[str, Any]:
    """As the wire has it."""
    return {name: getattr(rule, name) for name in FIELDS}


def gate_of(action: str) -> str:
    """How strictly an action is asked about, if its rule doesn't say."""
    if action in _WATCHES:
        return "never"
    if action in _RELIEVES or action.startswith("optimize_"):
        return "risk"
    return "full"


def _or_above(risk: Any) -> bool:
    return isinstance(risk, str) and risk.endswith("+")


BUILT_IN = rules(
    (
        ("resource_pressure", "critical", 0, "scale_up_immediate", "critical_resource_pressure"),
        ("resource_pressure", "high", 0.80, "scale_up_immediate", "high_resource_pressure_certain"),
        ("resource_pressure", "high", 0.70, "restart_service", "high_resource_pressure"),
        ("resource_pressure", "high", 0, "throttle_requests", "resource_pressure_low_confidence"),
        ("resource_pressure", "medium", 0, "optimize_resources", "medium_resource_pressure"),
        ("anomaly_signal", "critical", 0, "isolate_component", "critical_anomaly"),
        ("anomaly_signal", "high", 0.65, "rollback_deployment", "anomaly_with_confidence"),
        ("anomaly_signal", "high", 0, "increase_monitoring", "anomaly_low_confidence"),
        ("anomaly_signal", None, 0, "flag_for_review", "anomaly_detected"),
        ("latency_issue", "high+", 0, "optimize_query", "latency_degradation"),
        ("latency_issue", None, 0, "cache_warmup", "latency_signal"),
        ("security_signal", None, 0, "trigger_security_audit", "security_event"),
        ("self_healing", None, 0, "run_recovery", "recovery_requested"),
        ("service_degradation", "high+", 0, "circuit_breaker_open", "service_degraded_high"),
        ("service_degradation", None, 0, "health_check", "service_degraded"),
        (None, None, 0, "monitor_and_wait", "no_matching_rule"),
    ),
    "BUILT_IN",
)
"""The last one fits everything."""
