# SPDX-License-Identifier: Apache-2.0
"""Loaded under the name ``nova.virt.p2pcs``; see the plug-in module."""

from p2pcs_nova.virt.driver import P2PDriver

__all__ = ['P2PDriver']
