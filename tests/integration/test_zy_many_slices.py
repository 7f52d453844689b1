# SPDX-License-Identifier: Apache-2.0
"""How long a dead gateway's slices wait when it had many of them.

Almost last of its folder: the lab has two gateways from here on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import yaml

from devstack.lab import overlay
from devstack.lab.layout import SLICES
from tests.conftest import Figure
from tests.support.gateway_faults import FAULTS
from tests.support.lab import Lab
from tests.support.second_gateway import Pair
from tests.support.waiting import until

pytestmark = [pytest.mark.lab, pytest.mark.slow]

FAULT = 'both frozen'
STARTED_S = 600.0
"""So many nova-computes take turns at the processor."""


def apply(lab: Lab, extra: int) -> list[str]:
    """Have a policy with so many slices beside the lab's; their names.

    No PC is in them: what a fail-over costs is their nova-computes.
    """
    current = overlay.ask(lab.control, '/v1/policy')['policy']['text']
    version = yaml.safe_load(current)['version'] + 1
    names = [*SLICES, *(f'empty{number}' for number in range(extra))]
    lines = [f'- {{name: {name}, match: {{tier: {name}}}}}' for name in names]
    path = lab.layout.lab / 'policy.yaml'
    path.write_text('\n'.join([f'version: {version}', 'slices:', *lines, '']))
    overlay.manage(
        lab.layout, lab.control, 'policy', 'apply',
        '--ca-dir', str(lab.layout.control / 'ca'), str(path),
    )  # fmt: skip
    return names


@pytest.fixture
def plain_again(lab: Lab, pair: Pair) -> Iterator[None]:
    """The lab has its own two slices at the end."""
    yield
    apply(lab, 0)
    pair.slice_of(pair.second)


@pytest.mark.usefixtures('plain_again')
@pytest.mark.parametrize('count', [3, 10])
def test_all_slices_of_a_frozen_gateway_are_served(
    lab: Lab, pair: Pair, count: int, figure: Figure
) -> None:
    names = apply(lab, count - len(SLICES))

    def are_shared() -> bool:
        served = [
            sum(pair.serves(machine, name) for name in names)
            for machine in (lab.control, pair.second)
        ]
        return sum(served) == count and min(served) >= count // 2

    until(are_shared, STARTED_S)
    lost = [name for name in names if pair.serves(pair.second, name)]
    begin = time.monotonic()
    with FAULTS[FAULT](pair, lost[0]):
        what = f'fail-over of {len(lost)} of {count} slices'
        until(
            lambda: all(pair.serves(lab.control, name) for name in lost),
            STARTED_S,
        )
        figure(f'{what}: all served (goal 30 s)', time.monotonic() - begin)
    until(are_shared, STARTED_S)
