# SPDX-License-Identifier: Apache-2.0
"""How long a user's query takes, from its text to the last of many PCs.

Goal: some milliseconds for 1,000 PCs.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

from p2pcs_nova import query, wire

TEXT = (
    "reliability >= p(90) && cores >= 8 && country in ['IT', 'FR'] "
    "&& 'avx2' in cpu_flags"
)
VOCABULARY = {
    'reliability': wire.Kind.NUMBER,
    'cores': wire.Kind.NUMBER,
    'country': wire.Kind.TEXT,
    'cpu_flags': wire.Kind.TEXTS,
}
GOAL_MS = 10


def office(size: int) -> list[wire.Attributes]:
    """So many PCs, no two of which are alike."""
    return [
        {
            'reliability': number / size,
            'cores': number % 16,
            'country': ('IT', 'FR', 'DE')[number % 3],
            'cpu_flags': ('avx2', 'sse4_2', 'vmx'),
        }
        for number in range(size)
    ]


def median_ms(work: Callable[[], object], times: int = 50) -> float:
    """Milliseconds."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return statistics.median(found) * 1e3


def tell(parsed: query.Query, pcs: Sequence[wire.Attributes]) -> None:
    """A line on so many PCs."""
    matcher = parsed.among(pcs)
    ranked = median_ms(lambda: parsed.among(pcs))
    asked = median_ms(lambda: [matcher.takes(pc) for pc in pcs])
    print(
        f'  {len(pcs)} PCs: ranks {ranked:.2f} ms, answers {asked:.2f} ms; '
        f'{sum(map(matcher.takes, pcs))} taken'
    )


def main() -> None:
    """Measure, and print as it comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--pcs', type=int, nargs='+', default=[1000, 10000])
    options = parser.parse_args()
    print(f'{TEXT}; goal {GOAL_MS} ms for 1,000 PCs')
    parsed = query.parse(TEXT, VOCABULARY)
    took = median_ms(lambda: query.parse(TEXT, VOCABULARY))
    print(f'  parsed: median {took:.2f} ms')
    for size in options.pcs:
        tell(parsed, office(size))


if __name__ == '__main__':
    main()
