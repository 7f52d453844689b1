# SPDX-License-Identifier: Apache-2.0
"""P2PCS for Nova: an organisation's own PCs as a cloud."""
