"""The five fields of cron: minute, hour, day of the month, month, day of the week. In UTC."""

from __future__ import annotations

import datetime

TYPE_CHECKING = False
if TYPE_CHECKING:
    Fields = list[set[int]]

RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
NAMES = ("minute", "hour", "day of the month", "month", "day of the week")
LOOK_AHEAD_DAYS = 366 * 8
"""February 29th comes within this, whatever the century."""


def parse(text: str) -> Fields:
    """The values of each field. Raises `ValueError`."""
    parts = text.split()
    if len(parts) != len(RANGES):
        raise ValueError(f"cron has five fields, as in '30 4 * * 1-5': {text!r}")
    fields = [_field(part, index) for index, part in enumerate(parts)]
    if 7 in fields[4]:  # Sunday too
        fields[4] = fields[4] - {7} | {0}
    # Where both days are given, either will do; an empty set says "not given".
    for index in (2, 4):
        if parts[index] == "*":
            fields[index] = set()
    return fields


def _field(text: str, index: int) -> set[int]:
    low, high = RANGES[index]
    values: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, dash, last = span.partition("-")
        try:
            every = int(step) if step else 1
            begin = low if span == "*" else int(first)
            end = high if span == "*" or (step and not dash) else int(last if dash else first)
        except ValueError:
            raise ValueError(f"{part!r} is no {NAMES[index]} of cron") from None
        if not (low <= begin <= end <= high and every > 0):
            raise ValueError(f"{part!r} is out of range: a {NAMES[index]} is {low} to {high}")
        values.update(range(begin, end + 1, every))
    return values


def following(fields: Fields, moment: float) -> float:
    """The first time after `moment`. Raises `ValueError` where there is none."""
    minutes, hours, days, months, weekdays = fields
    start = datetime.datetime.fromtimestamp(moment, datetime.timezone.utc)
    start = start.replace(second=0, microsecond=0) + datetime.timedelta(minutes=1)
    day = start.date()
    for _ in range(LOOK_AHEAD_DAYS):
        if day.month in months and _fits(day, days, weekdays):
            for hour in sorted(hours):
                for minute in sorted(minutes):
                    time = datetime.time(hour, minute, tzinfo=datetime.timezone.utc)
                    at = datetime.datetime.combine(day, time)
                    if at >= start:
                        return at.timestamp()
        day += datetime.timedelta(days=1)
    raise ValueError("these fields of cron never come to pass")


def _fits(day: datetime.date, days: set[int], weekdays: set[int]) -> bool:
    if not days and not weekdays:
        return True
    return day.day in days or (day.weekday() + 1) % 7 in weekdays
