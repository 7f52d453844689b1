# SPDX-License-Identifier: Apache-2.0
"""When each simulated machine is on: models of churn, and traces.

Every model gives intervals of availability, in seconds from the start of
the run. Machines that are on in several of them restart.

office
    Three of ten are always on; the others are switched on between 7:30 and
    9:30, most at 8, and off around 18 o'clock. A run that is shorter than a
    day is a day pressed into the run.
volunteer
    On for Weibull(0.393, 2.964 h), off for LogNormal(-0.586, 2.844): fits to
    machines of volunteers, so most stays are short and a few are long. The
    run begins a day after the first was switched on.
flash
    One of ten is on; the others are switched on within 10 s, half-way.
massacre
    Nine of ten lose power at once, half-way, the first among them.
"""

import dataclasses
import enum
import itertools
import pathlib
import random
from collections.abc import Iterable, Iterator

_HOUR_S = 3600.0
_DAY_S = 86400.0


class Model(enum.StrEnum):
    """Models of churn."""

    NONE = 'none'
    OFFICE = 'office'
    VOLUNTEER = 'volunteer'
    FLASH = 'flash'
    MASSACRE = 'massacre'


@dataclasses.dataclass(frozen=True)
class Stay:
    """A machine is on from ``start`` to ``end``, in seconds."""

    number: int
    start: float
    end: float


class TraceError(ValueError):
    """A trace cannot be read; says where and why."""


def draw(
    model: Model, peers: int, seconds: float, rng: random.Random
) -> list[Stay]:
    """When each of so many machines is on, ordered by start."""
    if model is Model.VOLUNTEER:
        stays = _volunteer(peers, seconds, rng)
    elif model is Model.OFFICE:
        stays = _office(peers, seconds, rng)
    else:
        stays = _half_way(model, peers, seconds, rng)
    return sorted(stays, key=lambda stay: (stay.start, stay.number))


def read_trace(
    path: pathlib.Path, peers: int, rng: random.Random
) -> list[Stay]:
    """The stays of a file of lines ``peer start_s end_s``.

    Lines that begin with # are comments. Of more peers than wanted, so many
    are drawn by chance.

    :raises TraceError: it cannot be read, or a line is none of these
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeError) as error:
        raise TraceError(f'{path}: {error}') from error
    found: dict[str, list[tuple[float, float]]] = {}
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith('#'):
            try:
                name, start, end = line.split()
                stay = float(start), float(end)
            except ValueError:
                raise TraceError(
                    f'{path}, line {number}: not "peer start_s end_s"'
                ) from None
            if not 0 <= stay[0] < stay[1]:
                raise TraceError(f'{path}, line {number}: not an interval')
            found.setdefault(name, []).append(stay)
    if len(found) < 2:
        raise TraceError(f'{path}: fewer than two peers')
    names = rng.sample(sorted(found), min(peers, len(found)))
    stays = [
        Stay(number, *stay)
        for number, name in enumerate(names)
        for stay in _join(sorted(found[name]))
    ]
    return sorted(stays, key=lambda stay: (stay.start, stay.number))


def _join(
    stays: Iterable[tuple[float, float]],
) -> Iterator[tuple[float, float]]:
    """Without overlaps."""
    last: tuple[float, float] | None = None
    for start, end in stays:
        if last is not None and start <= last[1]:
            last = last[0], max(last[1], end)
            continue
        if last is not None:
            yield last
        last = start, end
    if last is not None:
        yield last


def _half_way(
    model: Model, peers: int, seconds: float, rng: random.Random
) -> Iterator[Stay]:
    half = seconds / 2
    few = max(peers // 10, 2)
    for number in range(peers):
        if model is Model.FLASH and number >= few:
            yield Stay(number, half + rng.uniform(0, 10), seconds)
        elif model is Model.MASSACRE and number < peers - few:
            yield Stay(number, 0.0, half)
        else:
            yield Stay(number, 0.0, seconds)


def _office(peers: int, seconds: float, rng: random.Random) -> Iterator[Stay]:
    scale = min(seconds / _DAY_S, 1.0)
    for number in range(peers):
        if number % 10 < 3:
            yield Stay(number, 0.0, seconds)
            continue
        for day in range(max(round(seconds / _DAY_S), 1)):
            on = day * 24 + min(max(rng.gauss(8.0, 0.4), 7.5), 9.5)
            off = day * 24 + min(max(rng.gauss(18.0, 0.7), 16.0), 22.0)
            yield Stay(number, on * _HOUR_S * scale, off * _HOUR_S * scale)


def _volunteer(
    peers: int, seconds: float, rng: random.Random
) -> Iterator[Stay]:
    for number in range(peers):
        now = -_DAY_S
        for is_on in itertools.cycle((True, False)):
            if is_on:
                lasts = rng.weibullvariate(2.964, 0.393) * _HOUR_S
                end = min(now + lasts, seconds)
                if end > max(now, 0.0):
                    yield Stay(number, max(now, 0.0), end)
            else:
                lasts = rng.lognormvariate(-0.586, 2.844) * _HOUR_S
            now += lasts
            if now >= seconds:
                break
