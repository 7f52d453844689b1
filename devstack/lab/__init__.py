# SPDX-License-Identifier: Apache-2.0
"""A whole cloud of PCs on one machine, for users to try and tests to use.

Every machine of the lab is a set of namespaces held by a tiny init
(:mod:`.boot`): a *switch* that plays the office LAN, a *control plane*
host, and PCs with a libvirtd of their own. Killing a machine's init is a
power cut.

The package needs nothing but Debian's Python: it runs before there is any
virtual environment. What needs OpenStack's libraries is in
:mod:`.inside`, and runs in ``.venvs/cloud``.
"""
