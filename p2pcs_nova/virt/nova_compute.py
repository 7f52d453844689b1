# SPDX-License-Identifier: Apache-2.0
"""``p2pcs-nova-compute``: nova-compute where the plug-in did not load.

The same process as ``nova-compute``, with the finder installed first.  Use
it when the log says "No module named nova.virt.p2pcs".
"""

from __future__ import annotations

from p2pcs_nova.virt import plugin


def main() -> None:
    """Run Nova's own command."""
    plugin.install()
    # Nova patches the interpreter when its command is imported: not before.
    from nova.cmd import compute

    compute.main()
