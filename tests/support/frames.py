# SPDX-License-Identifier: Apache-2.0
"""Ethernet frames of good and bad guests; sending and catching them.

Run as a program in a network namespace: frames come in as lines of hex,
and the numbers of those that crossed from one interface to the other go
out.
"""

import ipaddress
import socket
import struct
import sys
import time

CATCH_S = 1.0
MARK = b'frame'
PLACE = MARK + bytes(2)
"""In every frame, where its number goes; a bridge cuts what follows IP."""


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(':', ''))


def ethernet(source: str, kind: int, payload: bytes) -> bytes:
    """A broadcast frame with a place for its number."""
    if PLACE not in payload:
        payload += PLACE
    return b'\xff' * 6 + _mac(source) + struct.pack('!H', kind) + payload


def arp(
    source: str,
    sender: str,
    address: str,
    operation: int = 2,
    to: str = '198.19.0.99',
) -> bytes:
    """An ARP answer (or request) that names a sender."""
    body = struct.pack('!HHBBH', 1, 0x0800, 6, 4, operation)
    body += _mac(sender) + ipaddress.IPv4Address(address).packed
    body += bytes(6) + ipaddress.IPv4Address(to).packed
    return ethernet(source, 0x0806, body)


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f'!{len(data) // 2}H', data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def udp4(
    source: str,
    address: str,
    sport: int,
    dport: int,
    to: str = '255.255.255.255',
) -> bytes:
    """UDP over IPv4."""
    udp = struct.pack('!HHHH', sport, dport, 8 + len(PLACE), 0) + PLACE

    def header(checksum: int) -> bytes:
        return struct.pack(
            '!BBHHHBBH4s4s', 0x45, 0, 20 + len(udp), 0, 0, 64, 17, checksum,
            ipaddress.IPv4Address(address).packed,
            ipaddress.IPv4Address(to).packed,
        )  # fmt: skip

    return ethernet(source, 0x0800, header(_checksum(header(0))) + udp)


def ip6(source: str, address: str, next_header: int, body: bytes) -> bytes:
    """IPv6 to all nodes."""
    packet = struct.pack(
        '!IHBB16s16s', 6 << 28, len(body), next_header, 255,
        ipaddress.IPv6Address(address).packed,
        ipaddress.IPv6Address('ff02::1').packed,
    )  # fmt: skip
    return ethernet(source, 0x86DD, packet + body)


def icmp6(source: str, address: str, kind: int, target: str = '::') -> bytes:
    """ICMPv6; neighbour messages carry a target."""
    body = struct.pack('!BBHI', kind, 0, 0, 0)
    body += ipaddress.IPv6Address(target).packed + PLACE
    return ip6(source, address, 58, body)


def udp6(source: str, address: str, sport: int, dport: int) -> bytes:
    """UDP over IPv6."""
    body = struct.pack('!HHHH', sport, dport, 8 + len(PLACE), 0) + PLACE
    return ip6(source, address, 17, body)


def main() -> None:
    """Send on one interface, catch on another."""
    out, into = sys.argv[1:]
    frames = [bytes.fromhex(line) for line in sys.stdin.read().split()]
    every = socket.htons(3)
    sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, every)
    catcher = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, every)
    sender.bind((out, 3))
    catcher.bind((into, 3))
    for number, frame in enumerate(frames):
        sender.send(frame.replace(PLACE, MARK + struct.pack('!H', number)))
    seen: set[int] = set()
    limit = time.monotonic() + CATCH_S
    while len(seen) < len(frames) and (left := limit - time.monotonic()) > 0:
        catcher.settimeout(left)
        try:
            data = catcher.recv(2000)
        except TimeoutError:
            break
        if MARK in data:
            [number] = struct.unpack('!H', data.rpartition(MARK)[2][:2])
            seen.add(number)
    sys.stdout.write(' '.join(str(number) for number in sorted(seen)))


if __name__ == '__main__':
    main()
