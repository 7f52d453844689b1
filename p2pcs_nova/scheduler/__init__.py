# SPDX-License-Identifier: Apache-2.0
"""Nova's scheduler, told by the overlay which slices can serve now."""
