# SPDX-License-Identifier: Apache-2.0
"""What a run of the suite measures and counts, and how it is told."""

from __future__ import annotations

import collections
import dataclasses
import statistics
from collections.abc import Iterator

DATAGRAMS = 'datagrams, by hypothesis'
REQUESTS = 'requests, by hypothesis'


@dataclasses.dataclass
class Figures:
    """None of them ever fails a test."""

    measured: list[tuple[str, float, str]] = dataclasses.field(
        default_factory=list
    )
    """What, how much and its unit, in order."""
    converged: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    """Seconds from the end of a fault until all was well again, by fault."""
    tried: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter
    )
    """Inputs that a fuzzer tried, by what was fuzzed."""
    suites: dict[str, str] = dataclasses.field(default_factory=dict)
    """How many tests of a suite of others passed."""

    def note(self, what: str, value: float, unit: str = 's') -> None:
        """Something took so long, or was so much."""
        self.measured.append((what, value, unit))

    def note_convergence(self, fault: str, seconds: float) -> None:
        """So long after this fault all was well again."""
        self.converged.setdefault(fault, []).append(seconds)

    def count_inputs(self, what: str, inputs: int = 1) -> None:
        """So many were tried."""
        self.tried[what] += inputs

    def note_suite(self, suite: str, passed: str) -> None:
        """So many of its tests passed."""
        self.suites[suite] = passed

    def sections(self) -> Iterator[tuple[str, list[str]]]:
        """Titles and lines of what there is to tell."""
        if self.measured:
            yield (
                'figures',
                [
                    f'{value:9.3f} {unit}  {what}'
                    for what, value, unit in self.measured
                ],
            )
        if self.converged:
            yield (
                'convergence after faults',
                [
                    ' samples   median    worst  fault',
                    *(
                        f'{len(all_):8}'
                        f'{statistics.median(all_):7.1f} s'
                        f'{max(all_):7.1f} s  {fault}'
                        for fault, all_ in sorted(self.converged.items())
                    ),
                ],
            )
        if self.tried:
            yield (
                'inputs fuzzed',
                [f'{n:9}  {what}' for what, n in sorted(self.tried.items())],
            )
        if self.suites:
            yield (
                'tests that others wrote, or that run in a process apart',
                [f'{n:>14} passed  {s}' for s, n in self.suites.items()],
            )
