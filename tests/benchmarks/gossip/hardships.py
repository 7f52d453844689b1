# SPDX-License-Identifier: Apache-2.0
"""What is done to a cluster of agents on the loopback interface.

In a network namespace of one's own, as root: nftables lose datagrams and
filter refusals there, and a raw socket forges them.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
import time
from collections.abc import Iterator, Sequence

from tests.benchmarks.gossip import rivals

_NFT_S = 10.0
_FORGE_GAP_S = 0.02
_IP = struct.Struct('!BBHHHBBH4s4s')
_UDP = struct.Struct('!HHHH')
_ICMP = struct.Struct('!BBHI')
_UNREACHABLE, _PORT = 3, 3


_TABLE = """
table inet hardship {
  chain incoming {
    type filter hook input priority filter
    %s
  }
}
"""


@contextlib.contextmanager
def _rule(text: str) -> Iterator[None]:
    subprocess.run(
        ['nft', '-f', '-'],
        input=_TABLE % text,
        text=True,
        check=True,
        timeout=_NFT_S,
    )
    try:
        yield
    finally:
        subprocess.run(
            ['nft', 'delete', 'table', 'inet', 'hardship'],
            check=True,
            timeout=_NFT_S,
        )


def losing(percent: int) -> contextlib.AbstractContextManager[None]:
    """So much of what is sent by UDP is lost."""
    return _rule(
        f'udp dport {rivals.PORT} numgen random mod 100 < {percent} drop'
    )


def unrefused() -> contextlib.AbstractContextManager[None]:
    """No ICMP comes through: a process that is gone is silent."""
    return _rule('icmp type destination-unreachable drop')


def forge_refusals(victim: int, hearers: Sequence[int], seconds: float) -> int:
    """Tell these agents that nobody listens at the victim's address.

    :returns: how many such messages were sent
    """
    sent, end = 0, time.monotonic() + seconds
    with socket.socket(
        socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP
    ) as raw:
        raw.bind((rivals.address(victim), 0))
        while time.monotonic() < end:
            for hearer in hearers:
                raw.sendto(
                    _refusal(hearer, victim), (rivals.address(hearer), 0)
                )
                sent += 1
            time.sleep(_FORGE_GAP_S)
    return sent


def _refusal(hearer: int, victim: int) -> bytes:
    """What a machine answers to a datagram for the victim."""
    head = _IP.pack(
        0x45, 0, 28 + 8, 0, 0, 64, socket.IPPROTO_UDP, 0,
        socket.inet_aton(rivals.address(hearer)),
        socket.inet_aton(rivals.address(victim)),
    ) + _UDP.pack(rivals.PORT, rivals.PORT, 16, 0)  # fmt: skip
    plain = _ICMP.pack(_UNREACHABLE, _PORT, 0, 0) + head
    return _ICMP.pack(_UNREACHABLE, _PORT, _checksum(plain), 0) + head


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f'!{len(data) // 2}H', data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
