# SPDX-License-Identifier: Apache-2.0
"""The one-machine lab and its guest image."""
