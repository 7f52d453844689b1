# SPDX-License-Identifier: Apache-2.0
"""The policy: which slices there are, and which PCs are in which.

Pure: no clock, no file, no socket.
"""
