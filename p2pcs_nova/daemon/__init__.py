# SPDX-License-Identifier: Apache-2.0
"""The peer daemon: overlay, listeners and roles put together."""
