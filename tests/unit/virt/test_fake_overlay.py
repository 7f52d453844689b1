# SPDX-License-Identifier: Apache-2.0
"""The fake overlay keeps the contract that the real daemon keeps."""

from __future__ import annotations

import hashlib
import inspect
from typing import cast

import pytest

from p2pcs_nova import wire
from p2pcs_nova.client import local
from tests.support import fake_overlay, overlay_contract

BYTES = b'an image' * 64


class TestFakeOverlay(overlay_contract.OverlayContract):
    """The contract, on the fake."""

    @pytest.fixture
    def overlay(self) -> overlay_contract.Subject:
        fake = fake_overlay.FakeOverlay(
            fake_overlay.FakePc(name, 'gold', wire.Capacity(4, 4096, 40960))
            for name in ('pc1', 'pc2')
        )
        return overlay_contract.Subject(
            client=cast(local.LocalClient, fake.client()),
            slice='gold',
            image=wire.Image(
                'sha512:' + hashlib.sha512(BYTES).hexdigest(),
                'raw',
                len(BYTES),
            ),
            image_bytes=BYTES,
            need=wire.Capacity(1, 512, 1024),
            network='office',
        )


@pytest.mark.parametrize(
    'name',
    [
        name
        for name, _ in inspect.getmembers(
            fake_overlay.FakeClient, inspect.isfunction
        )
        if not name.startswith('_')
    ],
)
def test_fake_client_takes_what_the_real_one_takes(name: str) -> None:
    real = inspect.signature(getattr(local.LocalClient, name))
    fake = inspect.signature(getattr(fake_overlay.FakeClient, name))
    assert fake == real
