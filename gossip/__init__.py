# SPDX-License-Identifier: Apache-2.0
"""The overlay's engine: who is up, and what each peer says of itself.

Sans-IO: :class:`gossip.node.Node` takes datagrams and the time and gives
datagrams and events; :mod:`gossip.runtime` drives one node over UDP,
:mod:`gossip.simulator` many of them over a seeded network.
"""
