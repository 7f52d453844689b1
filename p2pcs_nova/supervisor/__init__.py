# SPDX-License-Identifier: Apache-2.0
"""``p2pcs-gateway``: keeps one stock nova-compute for each slice."""
