# SPDX-License-Identifier: Apache-2.0
"""Fuzz what a node does with datagrams, guided by coverage.

Run as ``python -m tests.support.fuzz_datagrams [FOLDER] -runs=N`` with
atheris on the path: what an input is, is told by its first byte.
"""

from __future__ import annotations

import contextlib
import sys

import atheris

with atheris.instrument_imports(include=['gossip']):
    from gossip import codec, errors, seal
    from tests.support.gossip_case import Case

CASE = Case()
CASE.meet()
MEMBERS = len(CASE.node.members())
KINDS = tuple(codec.KINDS.values())


def try_input(data: bytes) -> None:
    """Raises for nothing but a bug."""
    how, rest = data[:1], data[1 : seal.MAX_DATAGRAM + 2]
    if how < b'\x40':
        CASE.hear(rest)
    elif how < b'\xc0':
        # By who has the ring key, and a certificate.
        CASE.hear(CASE.other.sealer.seal(rest[: seal.MAX_PLAIN]))
    else:
        kind = KINDS[how[0] % len(KINDS)]
        with contextlib.suppress(errors.MalformedMessage):
            codec.decode_body(kind, rest)
    sent = [datagram for _, datagram in CASE.node.outgoing()]
    assert all(len(one) <= seal.MAX_DATAGRAM for one in sent)
    assert len(CASE.node.members()) == MEMBERS
    assert not CASE.node.revoked()


if __name__ == '__main__':
    atheris.Setup(sys.argv, try_input)
    atheris.Fuzz()
