# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse

import pytest

from p2pcs_nova.manage import instances

UUID = '12345678-1234-1234-1234-123456789abc'


def test_an_instance_is_named_by_its_uuid() -> None:
    assert instances.parse_uuid(UUID) == UUID


@pytest.mark.parametrize('typed', ['web', '', UUID[:-1], f'{UUID}\n'])
def test_what_is_no_uuid_is_refused_by_what_was_typed(typed: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match='not the UUID'):
        instances.parse_uuid(typed)
