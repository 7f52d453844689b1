# SPDX-License-Identifier: Apache-2.0
"""An etcd that is known by its certificate, and demands ours."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from oslo_config import cfg

from p2pcs_nova import errors
from p2pcs_nova.etcd import Cluster, Etcd, Get
from p2pcs_nova.terms import conf as options
from p2pcs_nova.terms.shared import conf_to_cluster
from tests.support import etcd_papers, etcd_server
from tests.support.etcd_papers import Papers

pytestmark = pytest.mark.etcd


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp('tls')


@pytest.fixture(scope='module')
def papers(folder: pathlib.Path) -> Papers:
    return etcd_papers.make(folder / 'ours')


@pytest.fixture(scope='module')
def others(folder: pathlib.Path) -> Papers:
    """Of an authority that nobody here knows."""
    return etcd_papers.make(folder / 'others')


@pytest.fixture(scope='module')
def server(
    folder: pathlib.Path, papers: Papers
) -> Iterator[etcd_server.Server]:
    with etcd_server.running(folder / 'etcd', papers) as server:
        yield server


def to_conf(cluster: Cluster) -> cfg.ConfigOpts:
    """As an operator writes it."""
    conf = cfg.ConfigOpts()
    options.register(conf)
    told = {
        'etcd_endpoints': list(cluster.endpoints),
        'etcd_ca_file': cluster.ca_file,
        'etcd_cert_file': cluster.cert_file,
        'etcd_key_file': cluster.key_file,
    }
    for name, value in told.items():
        conf.set_override(name, value, options.GROUP)
    return conf


def changed(cluster: Cluster, wrong: dict[str, Any]) -> Cluster:
    """The same with some other files."""
    return dataclasses.replace(cluster, **wrong)


def asked(cluster: Cluster) -> None:
    """By what an operator has written."""
    found = conf_to_cluster(to_conf(cluster))
    assert found is not None
    Etcd(found).read(Get('any'))


def test_etcd_is_asked_by_the_files_whatever_the_environment_says(
    server: etcd_server.Server,
    others: Papers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv('REQUESTS_CA_BUNDLE', str(others.ca))
    monkeypatch.setenv('HTTPS_PROXY', 'http://127.0.0.1:1')
    asked(server.cluster)


def test_what_is_wrong_is_said_in_the_words_of_the_options(
    server: etcd_server.Server, others: Papers
) -> None:
    good = server.cluster
    strange = {
        'cert_file': str(others.client_certificate),
        'key_file': str(others.client_key),
    }
    for wrong, reason in (
        ({'ca_file': str(others.ca)}, 'by etcd_ca_file: '),
        ({'ca_file': None}, 'by etcd_ca_file: unable to get local issuer'),
        ({'cert_file': None, 'key_file': None}, 'certificate.* etcd_cert_fil'),
        (strange, 'certificate.* etcd_cert_file'),
        ({'key_file': strange['key_file']}, 'etcd_key_file is not the key'),
    ):
        with pytest.raises(errors.Unavailable, match=reason) as caught:
            asked(changed(good, wrong))
        assert good.endpoints[0] in caught.value.message


def test_files_that_are_not_there_or_alone_are_named_at_the_start(
    server: etcd_server.Server, tmp_path: pathlib.Path
) -> None:
    missing = str(tmp_path / 'missing.pem')
    for wrong in (
        {'ca_file': missing},
        {'cert_file': missing},
        {'key_file': missing},
    ):
        (name,) = wrong
        reason = rf'etcd_{name}: .*missing\.pem: No such file'
        with pytest.raises(cfg.Error, match=reason):
            asked(changed(server.cluster, wrong))
    with pytest.raises(cfg.Error, match='etcd_key_file go together'):
        asked(dataclasses.replace(server.cluster, key_file=None))
