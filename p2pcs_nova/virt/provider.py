# SPDX-License-Identifier: Apache-2.0
"""A slice's resource provider in Placement, by Nova's provider tree."""

from __future__ import annotations

from typing import Any

from p2pcs_nova import traits, wire
from p2pcs_nova.virt import inventory


def update(tree: Any, node: str, summary: wire.SliceSummary) -> None:
    """Have the provider as the slice is.

    Traits of others stay: Nova's own, and those that an operator has given
    by hand, if they are none of the kinds that we give.

    :param tree: Nova's ProviderTree, which has the node
    """
    tree.update_inventory(node, inventory.summary_to_inventory(summary))
    there = {one for one in tree.data(node).traits if traits.is_ours(one)}
    tree.remove_traits(node, *(there - set(summary.traits)))
    tree.add_traits(node, *summary.traits)
