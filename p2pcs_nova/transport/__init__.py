# SPDX-License-Identifier: Apache-2.0
"""HTTP between daemons, and on the machine itself."""
