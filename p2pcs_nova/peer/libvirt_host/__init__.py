# SPDX-License-Identifier: Apache-2.0
"""The hypervisor that we use: libvirt.  The only package to import it."""

from p2pcs_nova.peer.libvirt_host.host import LibvirtHost

__all__ = ['LibvirtHost']
