# SPDX-License-Identifier: Apache-2.0
"""Networks that a PC can bridge, and words for those it cannot."""

import pathlib

from p2pcs_nova.peer.networks import find_networks, tap_name


def test_existing_bridge_is_offered(tmp_path: pathlib.Path) -> None:
    (tmp_path / 'br0' / 'bridge').mkdir(parents=True)
    assert find_networks({'office': 'br0'}, tmp_path) == (('office',), ())


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
