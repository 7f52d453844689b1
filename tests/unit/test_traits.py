# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os_traits
import pytest

from p2pcs_nova import traits, wire
from p2pcs_nova.peer import machine

KVM, TCG = wire.Accelerator.KVM, wire.Accelerator.TCG
NOT_TOLD = {'asimd', 'avx512_bf16', 'avx512_fp16', 'avx_vnni', 'sgx'}
"""Flags for which Nova's libvirt driver has no trait."""


def pc(
    said: wire.Attributes, accelerator: wire.Accelerator = KVM
) -> wire.PeerRecord:
    return wire.PeerRecord(
        name='pc',
        offer=wire.Offer(wire.Capacity(), accelerator),
        attributes=said,
        used=wire.Capacity(),
    )


def test_every_flag_that_pcs_report_has_its_standard_traits() -> None:
    assert machine.FLAGS - set(traits.FLAGS) == NOT_TOLD
    assert set(traits.FLAGS) <= machine.FLAGS
    names = {name for found in traits.FLAGS.values() for name in found}
    assert os_traits.check_traits(names) == (names, set())


def test_pcs_have_in_common_what_all_of_them_have() -> None:
    first = pc(
        {'site': 'rome', 'country': 'IT', 'cpu_flags': ('avx', 'fma', 'aes')}
    )
    second = pc(
        {'site': 'rome', 'country': 'FR', 'cpu_flags': ('aes', 'fma', 'sgx')}
    )
    assert traits.common([first, second]) == {
        'CUSTOM_P2PCS_SITE_ROME',
        'HW_CPU_X86_AESNI',
        'HW_CPU_X86_FMA3',
    }
    assert traits.common([first, second, pc({})]) == set()
    assert traits.common([]) == set()


def test_a_guest_of_an_emulated_processor_has_only_its_flags() -> None:
    emulating = pc({'cpu_flags': ('avx2', 'sse4_2')}, TCG)
    assert traits.common([emulating]) == {
        'HW_CPU_X86_SSE42',
        'HW_CPU_X86_SSSE3',
    }


@pytest.mark.parametrize(
    ('said', 'found'),
    [
        ({'gpus': ('nvidia', '1a03')}, {'GPU_NVIDIA', 'GPU_1A03'}),
        ({'site': 'São Paulo, 2'}, {'SITE_S_O_PAULO_2'}),
        ({'site': 7, 'country': True}, set()),
        ({'site': 'x' * 300}, set()),
    ],
)
def test_what_owners_write_becomes_a_name_that_placement_takes(
    said: wire.Attributes, found: set[str]
) -> None:
    assert traits.common([pc(said)]) == {traits.PREFIX + f for f in found}


def test_only_traits_of_our_own_are_ours() -> None:
    assert traits.is_ours(traits.of_tier(2))
    assert traits.is_ours('HW_CPU_X86_AVX')
    assert not traits.is_ours('HW_CPU_X86_3DNOW')
    assert not traits.is_ours('CUSTOM_BY_HAND')
    assert not traits.is_ours('COMPUTE_NODE')
