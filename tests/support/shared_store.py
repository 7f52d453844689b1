# SPDX-License-Identifier: Apache-2.0
"""A ledger that others write to as well, without an etcd."""

from __future__ import annotations

from p2pcs_nova.gateway import store


class SharedStore(store.Store):
    """Shared, for all that a gateway knows; it refuses no stale term."""

    is_shared = True

    def holders(self) -> dict[str, str]:
        """Nobody, for all that it knows."""
        return {}

    def of_group(self, group: str) -> dict[str, str]:
        """The PC of each instance of a server group, in any slice."""
        return {
            row.instance: row.peer
            for row in self.rows()
            if row.spec.group is not None and row.spec.group.id == group
        }
