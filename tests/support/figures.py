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

    seconds: list[tuple[str, float]] = dataclasses.field(default_factory=list)
    """What was measured, in order."""
    converged: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    """Seconds from the end of a fault until all was well again, by fault."""
    tried: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter
    )
    """Inputs that a fuzzer tried, by what was fuzzed."""

    def note(self, what: str, seconds: float) -> None:
        """Something took so long."""
        self.seconds.append((what, seconds))

    def note_convergence(self, fault: str, seconds: float) -> None:
        """So long after this fault all was well again."""
        self.converged.setdefault(fault, []).append(seconds)

    def count_inputs(self, what: str, inputs: int = 1) -> None:
        """So many were tried."""
        self.tried[what] += inputs

    def sections(self) -> Iterator[tuple[str, list[str]]]:
        """Titles and lines of what there is to tell."""
        if self.seconds:
            yield (
                'figures',
                [f'{s:9.3f} s  {what}' for what, s in self.seconds],
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
