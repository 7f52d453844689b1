# SPDX-License-Identifier: Apache-2.0
"""Keys, certificates, tokens: who is who."""
