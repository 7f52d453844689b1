# SPDX-License-Identifier: Apache-2.0
"""What the stock services are told: pure, from passwords and places."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from devstack.lab.ini import Ini, Section
from devstack.lab.layout import CONTROL_ADDRESS, Layout

KEYSTONE_PORT = 5000
GLANCE_PORT = 9292
PLACEMENT_PORT = 8778
NEUTRON_PORT = 9696
NOVA_PORT = 8774
MARIADB_PORT = 3306
RABBIT_PORT = 5672
DATABASES = (
    'keystone',
    'glance',
    'placement',
    'neutron',
    'nova_api',
    'nova_cell0',
    'nova_cell1',
)
REGION = 'RegionOne'
NOVA_POLICY = 'nova-policy.yaml'
PHYSICAL_NETWORK = 'office'
AUTH_URL = f'http://{CONTROL_ADDRESS}:{KEYSTONE_PORT}'


@dataclasses.dataclass(frozen=True)
class Settings:
    """The configuration of every stock service of one lab."""

    layout: Layout
    passwords: Mapping[str, str]

    def database(self, name: str) -> str:
        """The address of a database; it listens inside the machine only."""
        password = self.passwords['database']
        return (
            f'mysql+pymysql://openstack:{password}'
            f'@127.0.0.1:{MARIADB_PORT}/{name}?charset=utf8'
        )

    @property
    def transport(self) -> str:
        """The address of the message queue, likewise."""
        return self.transport_at('127.0.0.1', RABBIT_PORT)

    def transport_at(self, host: str, port: int) -> str:
        """Its address for who reaches it there."""
        password = self.passwords['rabbit']
        return f'rabbit://openstack:{password}@{host}:{port}/'

    def venv(self, path: str) -> str:
        """A file that OpenStack's packages install in the venv."""
        return str(self.layout.cloud_venv / path)

    def data(self, service: str) -> str:
        """Where a service keeps its own files."""
        return str(self.layout.control / 'data' / service)

    def account(self, name: str) -> Section:
        """How a service logs in at keystone."""
        return {
            'auth_type': 'password',
            'auth_url': AUTH_URL,
            'username': name,
            'password': self.passwords[name],
            'project_name': 'service',
            'user_domain_name': 'Default',
            'project_domain_name': 'Default',
            'region_name': REGION,
        }

    def token_checks(self, name: str) -> Section:
        """How a service checks the tokens of those who call it."""
        return {
            **self.account(name),
            'www_authenticate_uri': AUTH_URL,
            'service_token_roles': 'service',
            'service_token_roles_required': True,
        }

    def keystone(self) -> Ini:
        """keystone.conf; cheap password hashes, for a lab's start-up."""
        keys = self.data('keystone/fernet-keys')
        return {
            'DEFAULT': {'use_stderr': True, 'public_endpoint': AUTH_URL},
            'database': {'connection': self.database('keystone')},
            'token': {'provider': 'fernet', 'expiration': 86400},
            'fernet_tokens': {'key_repository': keys},
            'fernet_receipts': {'key_repository': keys},
            'credential': {
                'key_repository': self.data('keystone/credential-keys')
            },
            'cache': {'enabled': True, 'backend': 'dogpile.cache.memory'},
            'identity': {'password_hash_rounds': 4},
        }

    def glance(self) -> Ini:
        """glance-api.conf: images are files."""
        data = self.data('glance')
        return {
            'DEFAULT': {
                'use_stderr': True,
                'enabled_backends': 'fs:file',
                'bind_host': CONTROL_ADDRESS,
                'worker_self_reference_url': (
                    f'http://{CONTROL_ADDRESS}:{GLANCE_PORT}'
                ),
            },
            'database': {'connection': self.database('glance')},
            'glance_store': {'default_backend': 'fs'},
            'fs': {'filesystem_store_datadir': f'{data}/images'},
            'os_glance_tasks_store': {
                'filesystem_store_datadir': f'{data}/tasks'
            },
            'os_glance_staging_store': {
                'filesystem_store_datadir': f'{data}/staging'
            },
            'paste_deploy': {
                'flavor': 'keystone',
                'config_file': self.venv('etc/glance/glance-api-paste.ini'),
            },
            'oslo_concurrency': {'lock_path': self.data('locks')},
            'keystone_authtoken': self.token_checks('glance'),
        }

    def placement(self) -> Ini:
        """placement.conf."""
        return {
            'DEFAULT': {'use_stderr': True},
            'placement_database': {'connection': self.database('placement')},
            'api': {'auth_strategy': 'keystone'},
            'keystone_authtoken': self.token_checks('placement'),
        }

    def neutron(self) -> Ini:
        """neutron.conf and ml2 in one: our driver, no agents."""
        return {
            'DEFAULT': {
                'use_stderr': True,
                'state_path': self.data('neutron'),
                'core_plugin': 'ml2',
                'service_plugins': 'p2pcs',
                'transport_url': self.transport,
                'auth_strategy': 'keystone',
                'api_paste_config': self.venv('etc/neutron/api-paste.ini'),
                'notify_nova_on_port_status_changes': True,
                'notify_nova_on_port_data_changes': True,
                'host': 'control',
            },
            'database': {'connection': self.database('neutron')},
            'nova': self.account('nova'),
            'placement': self.account('placement'),
            'oslo_concurrency': {'lock_path': self.data('locks')},
            'keystone_authtoken': self.token_checks('neutron'),
            'ml2': {
                'type_drivers': 'flat',
                'project_network_types': '',
                'mechanism_drivers': 'p2pcs',
                'extension_drivers': 'port_security',
            },
            'ml2_type_flat': {'flat_networks': PHYSICAL_NETWORK},
            'securitygroup': {
                'enable_security_group': True,
                'firewall_driver': 'noop',
            },
        }

    def nova(self) -> Ini:
        """nova.conf of API, conductor and scheduler."""
        return {
            **self._nova_common(self.data('nova')),
            'api_database': {'connection': self.database('nova_api')},
            'database': {'connection': self.database('nova_cell1')},
            'api': {'auth_strategy': 'keystone'},
            'oslo_policy': {
                'policy_file': str(self.layout.etc('nova') / NOVA_POLICY)
            },
            'conductor': {'workers': 1},
            'scheduler': {
                'workers': 1,
                # how soon a new slice is mapped to its cell
                'discover_hosts_in_cells_interval': 5,
            },
            # a build that a PC refuses says nothing of its whole slice
            'filter_scheduler': {'build_failure_weight_multiplier': '0.0'},
            'keystone_authtoken': self.token_checks('nova'),
        }

    def nova_compute(self) -> Ini:
        """nova.conf of all nova-computes: no database in it."""
        common = self._nova_common(self.data('nova-compute'))
        return {
            **common,
            'DEFAULT': {
                **common['DEFAULT'],
                # how soon Nova places servers on a PC that has come
                'update_resources_interval': 10,
            },
        }

    def _nova_common(self, state_path: str) -> Ini:
        helper = self.venv('bin/privsep-helper')
        account = self.account('nova')
        return {
            'DEFAULT': {
                'use_stderr': True,
                'state_path': state_path,
                'transport_url': self.transport,
                'my_ip': CONTROL_ADDRESS,
                'force_config_drive': True,
                'reserved_host_memory_mb': 0,
            },
            'cache': {'enabled': True, 'backend': 'oslo_cache.dict'},
            'glance': account,
            'placement': account,
            'neutron': account,
            'service_user': {**account, 'send_service_user_token': True},
            'vnc': {'enabled': False},
            'oslo_concurrency': {'lock_path': f'{state_path}/locks'},
            'nova_sys_admin': {'helper_command': helper},
            'privsep_osbrick': {'helper_command': helper},
        }
