# SPDX-License-Identifier: Apache-2.0
"""The slices as Nova's hosts: aggregates, zones, and retired services."""
