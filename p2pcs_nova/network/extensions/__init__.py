# SPDX-License-Identifier: Apache-2.0
"""A folder on Neutron's extension path: each file is one API extension."""
