# SPDX-License-Identifier: Apache-2.0
"""How the stock nova-compute finds our driver.

Nova imports ``nova.virt.<compute_driver>`` and nothing else, and
``nova/virt`` is a plain package: code outside it cannot add a module.
But ``nova-compute`` loads every plug-in of ``os_vif`` before it loads its
driver, so a plug-in that installs an import finder is in time.  The finder
answers for one name only and imports neither Nova nor eventlet: what runs
here runs in everything that uses os_vif.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import pathlib
import sys
from typing import Any

from os_vif import plugin
from os_vif.objects import host_info

ALIAS = 'nova.virt.p2pcs'


class DriverFinder(importlib.abc.MetaPathFinder):
    """Finds the module that ``compute_driver=p2pcs.P2PDriver`` names."""

    def find_spec(
        self, fullname: str, path: Any, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The shim for our one name; None for every other."""
        if fullname != ALIAS:
            return None
        return importlib.util.spec_from_file_location(
            fullname, pathlib.Path(__file__).with_name('shim.py')
        )


def install() -> None:
    """Append the finder; a second call does nothing."""
    if not any(isinstance(one, DriverFinder) for one in sys.meta_path):
        sys.meta_path.append(DriverFinder())


class P2PcsPlugin(plugin.PluginBase):  # type: ignore[misc]
    """A plug-in of os_vif that plugs nothing: a PC plugs by itself."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        install()

    def describe(self) -> Any:
        """No VIF type is served."""
        return host_info.HostPluginInfo(plugin_name='p2pcs', vif_info=[])

    def plug(self, vif: Any, instance_info: Any) -> None:
        """Never asked for: no VIF names this plug-in."""
        raise NotImplementedError('a PC plugs its taps by itself')

    def unplug(self, vif: Any, instance_info: Any) -> None:
        """Never asked for: no VIF names this plug-in."""
        raise NotImplementedError('a PC unplugs its taps by itself')
