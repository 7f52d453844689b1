# SPDX-License-Identifier: Apache-2.0
"""From the PCs' records to Placement, by Nova's own provider tree."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from p2pcs_nova import traits, wire
from p2pcs_nova.gateway import view as views
from p2pcs_nova.gateway.holdings import Holding, Holdings
from p2pcs_nova.policy import reading
from p2pcs_nova.policy.document import Ratios
from p2pcs_nova.policy.partition import Partition
from p2pcs_nova.virt import provider

pytestmark = pytest.mark.nova

provider_tree = pytest.importorskip('nova.compute.provider_tree')
POLICY = reading.read_policy(
    """\
version: 1
sites:
- name: rome
  match: {site: rome}
  rank: cpu_score
  slices:
  - {name: gold, share: 50%, traits: [CUSTOM_P2PCS_PAID]}
  - {name: silver, share: rest}
""",
    'policy',
)
KVM = wire.Accelerator.KVM
SMALL = wire.Capacity(4, 8192, 100 * 1024)
LARGE = wire.Capacity(8, 4096, 200 * 1024)
NEED = wire.Capacity(2, 1024, 10 * 1024)
BY_HAND = 'CUSTOM_BY_HAND'
NOVA = 'COMPUTE_IMAGE_TYPE_RAW'


class Slice:
    """A slice of two PCs, and its provider as nova-compute has it."""

    def __init__(self) -> None:
        self.view = views.View(Partition(POLICY))
        self.held = Holdings()
        self.tree = provider_tree.ProviderTree()
        self.tree.new_root('gold', str(uuid.uuid4()))
        self.put(1, SMALL, country='IT', cpu_flags=('avx', 'aes'))
        self.put(2, LARGE, country='IT', cpu_flags=('avx', 'fma'))

    def put(
        self, number: int, total: wire.Capacity, **said: wire.Attribute
    ) -> None:
        self.see(number, views.Liveness.ALIVE)
        record = wire.PeerRecord(
            name=f'pc{number}',
            offer=wire.Offer(total, KVM),
            attributes={'site': 'rome', **said},
            used=wire.Capacity(),
            slice='gold',
        )
        self.view.take_record(peer(number), record)

    def see(self, number: int, liveness: views.Liveness) -> None:
        seen = views.PeerSeen(peer(number), 'peer', '::1', 7400, liveness)
        self.view.see(seen)

    def hold(self, number: int, need: wire.Capacity) -> None:
        self.held[peer(number)] = Holding('gold', need, 1)

    def update(self) -> Any:
        """What Nova would tell Placement."""
        term = wire.Counter(1, 1)
        summary = self.view.summarize('gold', term, self.held)
        provider.update(self.tree, 'gold', summary)
        return self.tree.data('gold')

    def amounts(self, name: str) -> tuple[int, int, int]:
        """Total, the most on one PC, reserved."""
        row = self.update().inventory[name]
        assert row['allocation_ratio'] == 1.0
        return row['total'], row['max_unit'], row['reserved']


def peer(number: int) -> str:
    return f'{number:032x}'


@pytest.fixture
def slice_() -> Slice:
    return Slice()


def test_the_provider_has_what_the_pcs_offer_and_the_largest_offer(
    slice_: Slice,
) -> None:
    assert slice_.amounts('VCPU') == (12, 8, 0)
    assert slice_.amounts('MEMORY_MB') == (12288, 8192, 0)
    assert slice_.amounts('DISK_GB') == (300, 200, 0)


def test_a_pc_out_of_reach_counts_as_what_is_reserved_on_it(
    slice_: Slice,
) -> None:
    slice_.hold(2, NEED)
    slice_.see(2, views.Liveness.FAILED)
    assert slice_.amounts('VCPU') == (6, 4, 0)
    assert slice_.amounts('MEMORY_MB') == (9216, 8192, 0)
    slice_.see(1, views.Liveness.FAILED)
    assert slice_.amounts('VCPU') == (2, 1, 2)
    assert slice_.amounts('DISK_GB') == (10, 1, 10)


def test_a_ratio_of_the_policy_is_in_what_pcs_offer_already(
    slice_: Slice,
) -> None:
    ratios = Ratios(vcpus=4.0, memory_mb=0.5)
    slice_.put(1, ratios.apply(SMALL))
    slice_.put(2, ratios.apply(LARGE))
    assert slice_.amounts('VCPU') == (48, 32, 0)
    assert slice_.amounts('MEMORY_MB') == (6144, 4096, 0)


def test_a_pc_that_offers_less_than_it_holds_takes_nothing_from_others(
    slice_: Slice,
) -> None:
    slice_.hold(1, SMALL)
    slice_.put(1, NEED)
    assert slice_.amounts('VCPU') == (12, 8, 0)


def test_traits_are_those_of_all_pcs_and_of_the_policy(slice_: Slice) -> None:
    assert slice_.update().traits == {
        'CUSTOM_P2PCS_COUNTRY_IT',
        'CUSTOM_P2PCS_PAID',
        'CUSTOM_P2PCS_SITE_ROME',
        'CUSTOM_P2PCS_TIER_1',
        'HW_CPU_X86_AVX',
    }


def test_what_is_no_longer_true_goes_and_what_others_gave_stays(
    slice_: Slice,
) -> None:
    slice_.update()
    slice_.tree.add_traits('gold', BY_HAND, NOVA)
    slice_.put(2, LARGE, country='FR')
    assert slice_.update().traits == {
        'CUSTOM_P2PCS_PAID',
        'CUSTOM_P2PCS_SITE_ROME',
        'CUSTOM_P2PCS_TIER_1',
        BY_HAND,
        NOVA,
    }
    slice_.view.partition = Partition()
    assert slice_.update().traits == {
        BY_HAND,
        NOVA,
    }


def test_a_pc_that_is_off_has_a_say_and_one_that_was_put_out_has_none(
    slice_: Slice,
) -> None:
    slice_.put(2, LARGE, country='FR')
    slice_.see(2, views.Liveness.FAILED)
    assert 'CUSTOM_P2PCS_COUNTRY_IT' not in slice_.update().traits
    slice_.view.bar(peer(2), views.Bar(views.Liveness.REVOKED, 'stolen'))
    assert 'CUSTOM_P2PCS_COUNTRY_IT' in slice_.update().traits


def test_a_slice_that_is_not_ranked_has_no_tier(slice_: Slice) -> None:
    plain = reading.read_policy('slices: [{name: gold, match: {}}]', 'policy')
    slice_.view.partition = Partition(plain)
    found = slice_.update().traits
    assert traits.of_tier(1) not in found
    assert 'CUSTOM_P2PCS_SITE_ROME' in found
