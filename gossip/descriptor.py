# SPDX-License-Identifier: Apache-2.0
"""Who a peer is, where it is, and how far one knows of it."""

import dataclasses
import enum
import hashlib
import ipaddress
import typing

from gossip import errors

#: 16 bytes: the beginning of the digest of the peer's public key.
PeerId = bytes

_Host = ipaddress.IPv4Address | ipaddress.IPv6Address

PEER_ID_BYTES = 16
BOOT_ID_BYTES = 8
PART_MAX = 32
NAME_MAX = 24
NEWS_MAX = 512
PAYLOAD_MAX = 900
#: Boots are less than this: far from what the wire can say, so that whoever
#: hears of the greatest one can say no less itself.
BOOTS = 2**47


class Address(typing.NamedTuple):
    """A UDP address; the host is a literal IP address."""

    host: str
    port: int


class Version(typing.NamedTuple):
    """The version of a part: counts up in one boot, boots count up."""

    boot: int
    n: int


class Role(enum.IntEnum):
    """What a credential says its holder is."""

    PEER = 1
    GATEWAY = 2
    ADMIN = 3
    ISSUER = 4


class Status(enum.IntEnum):
    """What we hold a peer for; among equals the higher one wins."""

    ALIVE = 0
    SUSPECT = 1
    DEAD = 2
    LEFT = 3
    REVOKED = 4


@dataclasses.dataclass(frozen=True)
class Member:
    """One peer as we know it; its name is for people."""

    peer: PeerId
    role: Role
    public_key: bytes
    address: Address
    request_port: int
    boot: int
    boot_id: bytes
    incarnation: int
    status: Status
    name: str = ''


@dataclasses.dataclass(frozen=True)
class Record:
    """One part that a peer says of itself; empty when deleted."""

    peer: PeerId
    part: str
    payload: bytes
    version: Version


def peer_id(public_key: bytes) -> PeerId:
    """The peer id of a raw public key of 32 bytes."""
    return hashlib.sha256(public_key).digest()[:PEER_ID_BYTES]


def host_to_bytes(host: str) -> bytes:
    """A literal IP address as its 4 or 16 bytes.

    :raises Misuse: not a literal IP address
    """
    try:
        return ipaddress.ip_address(host).packed
    except ValueError as error:
        raise errors.Misuse(f'not an IP address: {host!r}') from error


def bytes_to_host(packed: bytes) -> str:
    """The reverse of :func:`host_to_bytes`.

    :raises MalformedMessage: neither 4 nor 16 bytes
    """
    try:
        return str(ipaddress.ip_address(packed))
    except ValueError as error:
        raise errors.MalformedMessage('address') from error


def _is_pair(value: object) -> bool:
    """Whether it is a host and a port, and not the text of both."""
    match value:
        case (str(), int()):
            return True
    return False


def check_address(address: Address) -> Address:
    """The address in its one spelling.

    :raises Misuse: not an address that others can send to
    """
    if not _is_pair(address):
        raise errors.Misuse(f'not a host and a port: {address!r}')
    host = bytes_to_host(host_to_bytes(address[0]))
    if not 0 < address[1] < 65536:
        raise errors.Misuse(f'not a port: {address[1]}')
    if not _is_of_one(_bare(host)):
        raise errors.Misuse(f'no peer can be sent to at {host}')
    return Address(host, address[1])


def is_reachable(there: Address, here: Address) -> bool:
    """Whether a datagram from here can come to one peer there.

    A loopback address is another's only where ours is one, too.
    """
    host = _bare(there.host)
    if host.is_loopback and not _bare(here.host).is_loopback:
        return False
    return there.port > 0 and _is_of_one(host)


def _is_of_one(host: _Host) -> bool:
    """Whether it can be one machine's: no group, and no broadcast."""
    return not (
        host.is_unspecified
        or host.is_multicast
        or (host.version == 4 and host.is_reserved)
    )


def _bare(host: str) -> _Host:
    """An address; that of IPv4 if it is one in the form of IPv6."""
    address = ipaddress.ip_address(host)
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or address
    return address


def check_name(name: str) -> str:
    """The name.

    :raises Misuse: longer than 24, or not of printable ASCII, or spaces
    """
    if len(name) > NAME_MAX or any(not '!' <= c <= '~' for c in name):
        raise errors.Misuse(
            f'not up to {NAME_MAX} printable characters without spaces: '
            f'{name!r}'
        )
    return name


def check_part(part: str) -> str:
    """The name of a part.

    :raises Misuse: empty or longer than 32, or not of printable ASCII, or
        spaces
    """
    if not 0 < len(part) <= PART_MAX or any(not '!' <= c <= '~' for c in part):
        raise errors.Misuse(f'not a name for a part: {part!r}')
    return part
