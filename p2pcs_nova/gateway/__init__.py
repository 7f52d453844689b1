# SPDX-License-Identifier: Apache-2.0
"""What speaks for slices: claims, run rights, placements."""
