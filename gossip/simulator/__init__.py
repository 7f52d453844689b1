# SPDX-License-Identifier: Apache-2.0
"""Many nodes on one seeded network and one virtual clock.

``python -m gossip.simulator --help`` measures them.
"""

from gossip.simulator.simulation import NetworkConfig, Peer, Seen, Simulation

__all__ = ['NetworkConfig', 'Peer', 'Seen', 'Simulation']
