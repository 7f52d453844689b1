# SPDX-License-Identifier: Apache-2.0
"""Connections to the cloud, for the lab's own programs."""

from __future__ import annotations

import os

import openstack
from openstack.connection import Connection

from devstack.lab.settings import AUTH_URL, REGION


def connect(user: str, password: str, project: str) -> Connection:
    """A connection as one user; no proxy comes between."""
    os.environ['no_proxy'] = '*'
    return openstack.connect(
        auth_url=AUTH_URL,
        username=user,
        password=password,
        project_name=project,
        user_domain_name='Default',
        project_domain_name='Default',
        region_name=REGION,
        identity_api_version='3',
        load_yaml_config=False,
        load_envvars=False,
    )
