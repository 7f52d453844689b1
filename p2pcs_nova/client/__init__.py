# SPDX-License-Identifier: Apache-2.0
"""The only way to talk to a peer daemon."""
