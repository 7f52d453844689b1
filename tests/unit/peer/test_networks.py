# SPDX-License-Identifier: Apache-2.0
"""Networks that a PC can bridge, and words for those it cannot."""

import pathlib

import pytest

from p2pcs_nova.peer import networks
from p2pcs_nova.peer.networks import (
    find_networks,
    show_to_netfilter,
    tap_name,
)

OFFICE = {'office': 'br0'}


@pytest.fixture
def bridge(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> pathlib.Path:
    """A bridge as sysfs shows it, and br_netfilter loaded."""
    found = tmp_path / 'br0' / 'bridge'
    found.mkdir(parents=True)
    for flag in networks.SHOWN:
        (found / flag).write_text('0\n')
    (tmp_path / 'netfilter').mkdir()
    monkeypatch.setattr(networks, 'NETFILTER', tmp_path / 'netfilter')
    return found


def test_bridge_that_is_shown_to_netfilter_is_offered(
    tmp_path: pathlib.Path, bridge: pathlib.Path
) -> None:
    show_to_netfilter(OFFICE, tmp_path)
    assert find_networks(OFFICE, tmp_path) == (('office',), ())


def test_sysctls_for_all_bridges_do_as_well(
    tmp_path: pathlib.Path, bridge: pathlib.Path
) -> None:
    for sysctl in networks.SHOWN.values():
        (networks.NETFILTER / sysctl).write_text('1\n')
    assert find_networks(OFFICE, tmp_path) == (('office',), ())


@pytest.mark.parametrize('flag', networks.SHOWN)
def test_bridge_whose_guests_cannot_be_filtered_is_not_offered(
    tmp_path: pathlib.Path, bridge: pathlib.Path, flag: str
) -> None:
    show_to_netfilter(OFFICE, tmp_path)
    (bridge / flag).write_text('0\n')
    offered, [reason] = find_networks(OFFICE, tmp_path)
    assert offered == ()
    assert flag in reason
    (bridge / flag).unlink()
    offered, [reason] = find_networks(OFFICE, tmp_path)
    assert offered == ()
    assert flag in reason


def test_module_that_is_not_loaded_is_named(
    tmp_path: pathlib.Path, bridge: pathlib.Path
) -> None:
    show_to_netfilter(OFFICE, tmp_path)
    (tmp_path / 'netfilter').rmdir()
    offered, [reason] = find_networks(OFFICE, tmp_path)
    assert offered == ()
    assert 'modprobe br_netfilter' in reason


def test_missing_bridge_is_named(tmp_path: pathlib.Path) -> None:
    offered, [reason] = find_networks({'office': 'br0'}, tmp_path)
    assert offered == ()
    assert 'office' in reason
    assert 'br0' in reason


def test_wifi_instead_of_a_bridge_is_explained(
    tmp_path: pathlib.Path,
) -> None:
    (tmp_path / 'wlan0' / 'wireless').mkdir(parents=True)
    offered, [reason] = find_networks({'office': 'wlan0'}, tmp_path)
    assert offered == ()
    assert 'Wi-Fi cannot be bridged' in reason


def test_pc_without_mappings_says_so(tmp_path: pathlib.Path) -> None:
    (tmp_path / 'wlp2s0' / 'phy80211').mkdir(parents=True)
    offered, [reason] = find_networks({}, tmp_path)
    assert offered == ()
    assert 'wlp2s0 cannot be bridged' in reason


def test_tap_names_fit_the_kernel() -> None:
    name = tap_name('0123abcd-4567-89ab-cdef-0123456789ab')
    assert name == 'tap0123abcd-45'
    assert len(name) <= 15
