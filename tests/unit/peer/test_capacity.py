# SPDX-License-Identifier: Apache-2.0
"""What a PC offers, and the words for what it does not."""

import dataclasses

from p2pcs_nova import wire
from p2pcs_nova.peer.capacity import Hardware, OwnerRules, find_offer, nothing

PC = Hardware(cpus=8, memory_mb=16384, memory_left_mb=15360, disk_mb=200_000)
TCG = wire.Accelerator.TCG


def test_offer_is_what_the_pc_has_less_what_the_owner_keeps() -> None:
    rules = OwnerRules(keep_vcpus=2, keep_memory_mb=4096, keep_disk_mb=50_000)
    found = find_offer(rules, PC, TCG, ('office',))
    assert found.offer.total == wire.Capacity(6, 12288, 150_000)
    assert found.offer.networks == ('office',)
    assert found.reasons == ()


def test_own_numbers_of_the_owner_replace_what_is_kept() -> None:
    rules = OwnerRules(vcpus=4, memory_mb=2048, disk_mb=10_000)
    found = find_offer(rules, PC, TCG, ())
    assert found.offer.total == wire.Capacity(4, 2048, 10_000)


def test_more_vcpus_than_processors_are_offered_and_said() -> None:
    found = find_offer(OwnerRules(vcpus=16), PC, TCG, ())
    assert found.offer.total.vcpus == 16
    assert '16 vCPUs on 8 processors' in found.offer.reason


def test_memory_and_disk_that_are_not_there_are_not_offered() -> None:
    rules = OwnerRules(memory_mb=99_999, disk_mb=999_999)
    found = find_offer(rules, PC, TCG, ())
    assert found.offer.total.memory_mb == PC.memory_left_mb
    assert found.offer.total.disk_mb == PC.disk_mb
    assert len(found.reasons) == 3


def test_memory_that_other_programs_use_is_not_offered() -> None:
    short = dataclasses.replace(PC, memory_left_mb=512)
    found = find_offer(OwnerRules(memory_mb=2048), short, TCG, ())
    assert found.offer.total.memory_mb == 512
    assert found.reasons == ('other programs leave only 512 MiB of memory',)
    none = dataclasses.replace(PC, memory_left_mb=0)
    found = find_offer(OwnerRules(memory_mb=2048), none, TCG, ())
    assert found.offer.total.memory_mb == 0
    assert 'no memory is left' in found.offer.reason


def test_owner_who_keeps_all_offers_nothing_and_hears_it() -> None:
    found = find_offer(OwnerRules(keep_vcpus=64), PC, TCG, ())
    assert found.offer.total.vcpus == 0
    assert 'no vCPU is left' in found.offer.reason


def test_nothing_is_offered_with_its_reason() -> None:
    assert nothing('libvirt is away').total == wire.Capacity()
    assert nothing('libvirt is away').reason == 'libvirt is away'
