# SPDX-License-Identifier: Apache-2.0
"""What the lab says when it cannot go on."""


class LabError(Exception):
    """Something is wrong; the text says what, and what to do about it.

    What was brought up before stays: ``make cloud`` carries on from there
    and ``make cloud-down`` removes it.
    """


class Stopped(LabError):
    """A wait was given up because another step failed."""
