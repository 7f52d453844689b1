# SPDX-License-Identifier: Apache-2.0
"""Commands that ask the daemon of this machine."""

from __future__ import annotations

from cliff import command

from p2pcs_nova.client.local import LocalClient
from p2pcs_nova.policy import reading, signing
from p2pcs_nova.policy.partition import NO_MAP, Partition


def partition_of(client: LocalClient) -> Partition:
    """The slices as they are now.

    :raises BadPolicy: what the daemon has cannot be read
    """
    bundle = client.policy()
    if bundle.policy is None:
        return Partition()
    return Partition(
        reading.read_policy(bundle.policy.text, 'policy'),
        NO_MAP if bundle.slices is None else signing.read_map(bundle.slices),
    )


def connect(asking: command.Command) -> LocalClient:
    """The daemon behind the global option ``--socket``."""
    assert asking.app_args is not None
    return LocalClient(asking.app_args.socket)
