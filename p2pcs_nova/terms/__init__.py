# SPDX-License-Identifier: Apache-2.0
"""Who commands which slice: terms, and how gateways share the slices."""
