# SPDX-License-Identifier: Apache-2.0
"""What a PC does: offers, reservations, run rights, VMs."""
