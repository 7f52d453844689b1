# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from p2pcs_nova import errors, wire
from p2pcs_nova.manage import revoking

NOTHING = wire.Capacity()


def rows(*names: str) -> wire.PeerRows:
    return wire.PeerRows(
        tuple(
            wire.PeerRow(
                f'{number:032x}', name, 'peer', '', 'alive', '', NOTHING,
                NOTHING, 0,
            )
            for number, name in enumerate(names)
        )
    )  # fmt: skip


def test_a_peer_is_named_by_its_id_or_a_name_of_its_own() -> None:
    known = rows('pc1', 'pc2')
    assert revoking.find_peer(known, 'pc2') == f'{1:032x}'
    assert revoking.find_peer(known, 'f' * 32) == 'f' * 32


@pytest.mark.parametrize(
    ('typed', 'told'), [('pc9', 'no member'), ('pc1', '2 members')]
)
def test_a_name_that_says_not_which_is_refused(typed: str, told: str) -> None:
    with pytest.raises(errors.NotFound, match=told):
        revoking.find_peer(rows('pc1', 'pc1'), typed)
