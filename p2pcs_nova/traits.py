# SPDX-License-Identifier: Apache-2.0
"""A PC's facts as traits of Placement; which traits are ours to keep.

A trait says what every guest of a slice finds, so a slice has those that
all its PCs have, whether they are on or off: it does not change by night.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from p2pcs_nova import wire

PREFIX = 'CUSTOM_P2PCS_'
"""Of the traits that nobody else gives to a slice, or takes from it."""
LENGTH_MAX = 255
"""Placement's own."""
FLAGS: dict[str, tuple[str, ...]] = {
    'aes': ('HW_CPU_X86_AESNI',),
    'amx_bf16': ('HW_CPU_X86_AMXBF16',),
    'amx_int8': ('HW_CPU_X86_AMXINT8',),
    'amx_tile': ('HW_CPU_X86_AMXTILE',),
    'avx': ('HW_CPU_X86_AVX',),
    'avx2': ('HW_CPU_X86_AVX2',),
    'avx512_vnni': ('HW_CPU_X86_AVX512VNNI',),
    'avx512bw': ('HW_CPU_X86_AVX512BW',),
    'avx512dq': ('HW_CPU_X86_AVX512DQ',),
    'avx512f': ('HW_CPU_X86_AVX512F',),
    'avx512vl': ('HW_CPU_X86_AVX512VL',),
    'bmi2': ('HW_CPU_X86_BMI2',),
    'f16c': ('HW_CPU_X86_F16C',),
    'fma': ('HW_CPU_X86_FMA3',),
    'sha_ni': ('HW_CPU_X86_SHA',),
    'sse4_2': ('HW_CPU_X86_SSE42',),
    'ssse3': ('HW_CPU_X86_SSSE3',),
    'svm': ('HW_CPU_X86_SVM', 'HW_CPU_X86_AMD_SVM'),
    'vaes': ('HW_CPU_X86_AVX512VAES',),
    'vmx': ('HW_CPU_X86_VMX', 'HW_CPU_X86_INTEL_VMX'),
}
"""By the kernel's name of a processor's flag, of those that PCs report:
the standard traits that Nova's libvirt driver gives for it."""
EMULATED = ('sse4_2', 'ssse3')
"""Flags of the processor that PCs emulate for their guests, whatever they
have themselves: of QEMU's Nehalem those that are told of at all."""
_PROCESSOR = frozenset(name for names in FLAGS.values() for name in names)
_FOREIGN = re.compile('[^A-Z0-9]+')


def is_ours(trait: str) -> bool:
    """Whether the driver gives and takes it; else it is left alone."""
    return trait.startswith(PREFIX) or trait in _PROCESSOR


def common(records: Iterable[wire.PeerRecord]) -> frozenset[str]:
    """The traits that all these PCs have; none if there is no PC."""
    found = [frozenset(_of(record)) for record in records]
    return frozenset.intersection(*found) if found else frozenset()


def of_tier(number: int) -> str:
    """The trait of the slice that is the first, second… of its site."""
    return f'{PREFIX}TIER_{number}'


def _of(record: wire.PeerRecord) -> Iterator[str]:
    said = record.attributes
    flags = _texts(said.get('cpu_flags'))
    if record.offer.accelerator is wire.Accelerator.TCG:
        flags = EMULATED
    for flag in flags:
        yield from FLAGS.get(flag, ())
    for kind, attribute in (
        ('COUNTRY', 'country'),
        ('GPU', 'gpus'),
        ('SITE', 'site'),
    ):
        for word in _texts(said.get(attribute)):
            trait = f'{PREFIX}{kind}_{_FOREIGN.sub("_", word.upper())}'
            if len(trait) <= LENGTH_MAX:
                yield trait


def _texts(value: wire.Attribute | None) -> tuple[str, ...]:
    """What an attribute says; nothing if it is of a wrong kind."""
    if isinstance(value, str):
        return (value,)
    return value if isinstance(value, tuple) else ()
