# SPDX-License-Identifier: Apache-2.0
"""Horizon's settings; copied into its package, where it looks for them.

What differs between labs comes in the environment.
"""

import os

DEBUG = False
ALLOWED_HOSTS = ['*']
WEBROOT = '/'
STATIC_URL = '/static/'
STATIC_ROOT = os.environ['P2PCS_HORIZON_STATIC']
SECRET_KEY = os.environ['P2PCS_HORIZON_SECRET']
COMPRESS_OFFLINE = True
OPENSTACK_KEYSTONE_URL = os.environ['P2PCS_HORIZON_KEYSTONE']
OPENSTACK_KEYSTONE_DEFAULT_DOMAIN = 'Default'
SESSION_ENGINE = 'django.contrib.sessions.backends.signed_cookies'
CACHES = {
    'default': {'BACKEND': 'django.core.cache.backends.locmem.LocMemCache'}
}
OPENSTACK_NEUTRON_NETWORK = {
    'enable_router': False,
    'enable_quotas': False,
    'enable_ha_router': False,
    'enable_distributed_router': False,
    'enable_fip_topology_check': False,
}
TIME_ZONE = 'UTC'
