# SPDX-License-Identifier: Apache-2.0
"""Horizon of the lab; runs in ``.venvs/horizon``."""
