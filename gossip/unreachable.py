# SPDX-License-Identifier: Apache-2.0
"""What a UDP socket hears of ICMP "port unreachable" (ip(7), IP_RECVERR).

Without it an unconnected socket hears nothing. With it the next call on the
socket fails once, and the error queue says which address had been sent to.
"""

import socket
import struct

from gossip import descriptor

_IP_RECVERR = 11
_IPV6_RECVERR = 25
_ERROR = struct.Struct('=IBBBBII')
"""struct sock_extended_err: errno, origin, type, code, pad, info, data."""
_ORIGIN_ICMP, _ORIGIN_ICMP6 = 2, 3
_PORT_UNREACHABLE = {
    (_ORIGIN_ICMP, 3, 3),
    (_ORIGIN_ICMP6, 1, 4),
}
_ANCILLARY = 512
_DRAIN_MAX = 64


def enable(sock: socket.socket) -> None:
    """Have the socket hear of it.

    :raises OSError: not a UDP socket
    """
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)


def read(sock: socket.socket) -> list[descriptor.Address]:
    """The addresses at which nobody listens, as far as it was said."""
    found = []
    for _ in range(_DRAIN_MAX):
        try:
            _, ancillary, _, sender = sock.recvmsg(
                0, _ANCILLARY, socket.MSG_ERRQUEUE
            )
        except OSError:
            break
        if any(_is_port_unreachable(data) for _, _, data in ancillary):
            found.append(descriptor.Address(sender[0], sender[1]))
    return found


def _is_port_unreachable(data: bytes) -> bool:
    if len(data) < _ERROR.size:
        return False
    _, origin, kind, code, *_ = _ERROR.unpack_from(data)
    return (origin, kind, code) in _PORT_UNREACHABLE
