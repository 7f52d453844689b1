# SPDX-License-Identifier: Apache-2.0
"""A tiny guest image, built from Debian's packages without root."""
