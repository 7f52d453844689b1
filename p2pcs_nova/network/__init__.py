# SPDX-License-Identifier: Apache-2.0
"""Neutron's side: binding, and the word that a port is plugged."""
