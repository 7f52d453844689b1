# SPDX-License-Identifier: Apache-2.0
"""Listen to the office LAN from the ordinary shell's end of it."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
from collections.abc import Callable, Iterator

from devstack.lab.layout import HOST_CABLE
from tests.support.waiting import until

EVERY_PROTOCOL = 3
ARP = 0x0806
IP = 0x0800
DHCP_SERVER, DHCP_CLIENT = 67, 68
BUFFER = 4 * 2**20


class WireTap:
    """All frames that have come over the cable since it was opened."""

    def __init__(self, raw: socket.socket) -> None:
        self._raw = raw
        self._frames: list[bytes] = []

    def frames(self) -> list[bytes]:
        """Everything that was heard so far."""
        while True:
            try:
                frame, (_, _, kind, *_) = self._raw.recvfrom(2000)
            except BlockingIOError:
                return self._frames
            if kind != socket.PACKET_OUTGOING:
                self._frames.append(frame)

    def heard(self, wanted: Callable[[bytes], bool]) -> bool:
        """Whether such a frame has come."""
        return any(map(wanted, self.frames()))

    def wait(self, wanted: Callable[[bytes], bool]) -> None:
        """Wait for such a frame; what was sent before it has come too."""
        until(lambda: self.heard(wanted))

    def send(self, frame: bytes) -> None:
        """Put a frame on the cable."""
        self._raw.send(frame)


@contextlib.contextmanager
def listen() -> Iterator[WireTap]:
    """Listen while the body runs."""
    raw = socket.socket(
        socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERY_PROTOCOL)
    )
    with raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        raw.bind((HOST_CABLE, EVERY_PROTOCOL))
        raw.setblocking(False)
        yield WireTap(raw)


def _kind(frame: bytes) -> int:
    (kind,) = struct.unpack('!H', frame[12:14])
    return int(kind)


def _source(frame: bytes) -> str:
    return frame[6:12].hex(':')


def is_from(mac: str) -> Callable[[bytes], bool]:
    """Frames with this source address."""
    return lambda frame: _source(frame) == mac


def is_arp_of(address: str) -> Callable[[bytes], bool]:
    """ARP whose sender says that it has this IP address."""
    packed = ipaddress.IPv4Address(address).packed
    return lambda frame: _kind(frame) == ARP and frame[28:32] == packed


def is_ip_of(address: str) -> Callable[[bytes], bool]:
    """IP packets with this source address."""
    packed = ipaddress.IPv4Address(address).packed
    return lambda frame: _kind(frame) == IP and frame[26:30] == packed


def is_dhcp_answer(frame: bytes) -> bool:
    """UDP from a DHCP server's port."""
    if _kind(frame) != IP or frame[23] != socket.IPPROTO_UDP:
        return False
    start = 14 + (frame[14] & 15) * 4
    (port,) = struct.unpack('!H', frame[start : start + 2])
    return bool(port == DHCP_SERVER)


def dhcp_discover(mac: str) -> bytes:
    """A client's first message, as a broadcast frame (RFC 2131)."""
    hardware = bytes.fromhex(mac.replace(':', ''))
    bootp = struct.pack('!BBBBIHH', 1, 1, 6, 0, 0x50325053, 0, 0x8000)
    bootp += bytes(16) + hardware.ljust(16, b'\0') + bytes(192)
    bootp += b'\x63\x82\x53\x63' + b'\x35\x01\x01' + b'\xff' + bytes(60)
    udp = struct.pack('!HHHH', DHCP_CLIENT, DHCP_SERVER, 8 + len(bootp), 0)
    length = 20 + len(udp) + len(bootp)
    header = struct.pack(
        '!BBHHHBBH4s4s', 0x45, 0, length, 0, 0, 64, socket.IPPROTO_UDP, 0,
        bytes(4), b'\xff' * 4,
    )  # fmt: skip
    words = struct.unpack('!10H', header)
    total = sum(words)
    total = (total & 0xFFFF) + (total >> 16)
    header = header[:10] + struct.pack('!H', ~total & 0xFFFF) + header[12:]
    return b'\xff' * 6 + hardware + b'\x08\x00' + header + udp + bootp
