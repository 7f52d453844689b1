# SPDX-License-Identifier: Apache-2.0
"""Our API extension of Neutron, asked with nova-compute's own credentials.

Every call raises :class:`~p2pcs_nova.errors.Unavailable` if Neutron
refuses, is without our extension, or does not answer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import msgspec
from keystoneauth1 import exceptions as session_errors
from neutronclient.common import exceptions as neutron_errors
from nova import exception
from nova.network import neutron

from p2pcs_nova import errors, wire

_FAILURES = (
    neutron_errors.NeutronClientException,
    session_errors.ClientException,
    exception.NovaException,
)


def report_plugged(context: Any, port: str, host: str) -> None:
    """Say that a PC has plugged a port.

    :param host: the host that the port is bound to
    """
    with _answered():
        _tell(context, port, {'host': host, 'plugged': True})


def report_unplugged(context: Any, port: str, host: str) -> None:
    """Say that a PC has taken a port off; it goes DOWN.

    :param host: the host that the port is bound to
    """
    with _answered():
        _tell(context, port, {'host': host, 'plugged': False})


def hold_addresses(context: Any, port: str, host: str, peer_name: str) -> None:
    """Let nobody have the addresses of a port that is about to be deleted.

    A port that is gone has none to hold.

    :param host: the host that the port is bound to
    :param peer_name: the PC that may still use them
    """
    with _answered(), contextlib.suppress(neutron_errors.NotFound):
        _tell(context, port, {'host': host, 'held_on': peer_name})


def release_addresses(context: Any, placeholder: str) -> None:
    """Let the addresses that a placeholder holds be given out again."""
    with _answered(), contextlib.suppress(neutron_errors.NotFound):
        client = neutron.get_client(context, admin=True)
        client.delete(f'/p2pcs-ports/{placeholder}')


def slice_ports(context: Any, host: str) -> wire.SlicePorts:
    """The ports of a slice, and what may pass at them."""
    with _answered():
        client = neutron.get_client(context, admin=True)
        answer = client.get(f'/p2pcs-slices/{host}')
        return msgspec.convert(answer['p2pcs_slice'], wire.SlicePorts)


def _tell(context: Any, port: str, word: dict[str, Any]) -> None:
    client = neutron.get_client(context, admin=True)
    client.put(f'/p2pcs-ports/{port}', body={'p2pcs_port': word})


@contextlib.contextmanager
def _answered() -> Iterator[None]:
    try:
        yield
    except _FAILURES as error:
        raise errors.Unavailable(
            f'Neutron does not serve us: {error}. It needs the service '
            "plug-in p2pcs, and the user in [neutron] the role 'service'"
        ) from error
    except (KeyError, msgspec.ValidationError) as error:
        raise errors.Unavailable(
            f'Neutron has another release of our extension: {error!r}'
        ) from error
