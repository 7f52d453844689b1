# SPDX-License-Identifier: Apache-2.0
"""Real daemons: a policy is put in force, spread, and followed."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Iterator

import pytest

from p2pcs_nova import errors, wire
from p2pcs_nova.policy import in_force
from tests.conftest import Figure
from tests.support import daemons, waiting
from tests.support.daemons import Machine, Manage, Office

RANKED = """\
version: {version}
sites:
- name: rome
  match: {{site: rome}}
  rank: score
  slices:
  - {{name: {best}, share: 25%, zone: it}}
  - {{name: silver, share: 50%}}
  - {{name: rest, share: rest}}
"""


@pytest.fixture
def office(tmp_path: pathlib.Path) -> Iterator[Office]:
    with daemons.office(tmp_path) as place:
        yield place


def started(office: Office, count: int) -> list[Machine]:
    """PCs of Rome, the best last; each knows those before it."""
    found = []
    for number in range(1, count + 1):
        owner = f'site:rome,score:{number}'
        pc = office.joined(f'pc{number}', attributes=owner)
        pc.start()
        found.append(pc)
        waiting.until(lambda: len(slices(office)) == len(found))
    return found


def slices(office: Office) -> dict[str, str]:
    """The slice of each PC, as the gateway sees it."""
    with office.gateway.client as client:
        rows = client.peers().peers
    return {row.name: row.slice for row in rows if row.role == 'peer'}


def version_on(machine: Machine) -> int:
    """Of the policy that a machine has; 0 for none."""
    with machine.client as client:
        signed = client.policy().policy
    return 0 if signed is None else int(signed.text.split()[1])


def test_pcs_follow_a_policy_that_changes_while_they_run(
    office: Office, manage: Manage, figure: Figure
) -> None:
    pcs = started(office, 4)
    names = ('pc1', 'pc2', 'pc3', 'pc4')
    waiting.until(lambda: slices(office) == dict.fromkeys(names, 'rest'))
    begun = time.monotonic()
    office.apply(RANKED.format(version=2, best='gold'))
    waiting.until(lambda: all(version_on(pc) == 2 for pc in pcs))
    spread = time.monotonic()
    ranked = {
        'pc1': 'rest',
        'pc2': 'silver',
        'pc3': 'silver',
        'pc4': 'gold',
    }
    waiting.until(lambda: slices(office) == ranked)
    figure('policy: on 4 PCs', spread - begun)
    figure('policy: 4 PCs in their slices', time.monotonic() - begun)

    # One is off while the policy changes, and what it had is lost.
    pcs[3].stop()
    (pcs[3].folder / 'state' / 'policy.json').unlink()
    office.apply(RANKED.format(version=3, best='best'))
    waiting.until(lambda: all(version_on(pc) == 3 for pc in pcs[:3]))
    # The gateway is off when it comes back: the other PCs have it.
    office.gateway.stop()
    pcs[3].start()
    waiting.until(lambda: version_on(pcs[3]) == 3)

    office.gateway.start()
    waiting.until(lambda: slices(office) == ranked | {'pc4': 'best'})
    assert version_on(office.gateway) == 3
    shown = manage('policy', 'show')
    assert '#   gold: draining' in shown
    assert '#   best: open, 25 %' in shown
    assert shown.endswith(RANKED.format(version=3, best='best'))

    # Nova has nothing on its way there: so p2pcs-gateway would say.
    with office.gateway.client as client:
        slices_now = in_force.read_partition(client.policy()).map
        client.tell_hosts(
            wire.HostsReport(3, slices_now.generation, idle=('gold',))
        )
    waiting.until(lambda: '#   gold: closed' in manage('policy', 'show'))


def test_what_may_not_be_in_force_is_refused_with_place_and_reason(
    office: Office, manage: Manage, tmp_path: pathlib.Path
) -> None:
    started(office, 1)
    waiting.until(lambda: slices(office) == {'pc1': 'rest'})
    path, ca = tmp_path / 'policy.yaml', str(tmp_path / 'ca')

    def tried(verb: str, text: str, *more: str) -> str:
        path.write_text(text)
        return manage('policy', verb, str(path), *more)

    good = RANKED.format(version=2, best='gold')
    assert '1 PCs would move' in tried('validate', good)
    shown = tried('diff', good)
    assert '+- name: rome' in shown
    assert 'pc1: rest -> silver' in shown

    for text, reason in (
        (good.replace('25%', '80%'), f'{path}:7: sites[0].slices: overlap'),
        (good.replace('rome}', 'oslo}'), 'pc1 (site: rome) is left'),
        (RANKED.format(version=1, best='gold'), '1 is not above 1, which is'),
    ):
        assert reason in tried('validate', text)
        assert reason in tried('apply', text, '--ca-dir', ca)
    with (
        office.gateway.client as client,
        pytest.raises(errors.BadPolicy, match='not signed by the key'),
    ):
        client.apply_policy(wire.SignedPolicy(good, bytes(64)))
    assert version_on(office.gateway) == 1

    assert 'version 2 of the policy is in force' in tried(
        'apply', good, '--ca-dir', ca
    )
    assert 'is in force' in tried('apply', good, '--ca-dir', ca)
    old = RANKED.format(version=1, best='gold')
    assert 'is not above 2' in tried('apply', old, '--ca-dir', ca)
