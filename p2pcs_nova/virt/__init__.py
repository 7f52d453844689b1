# SPDX-License-Identifier: Apache-2.0
"""Nova's side: the compute driver."""
