# SPDX-License-Identifier: Apache-2.0
"""Finding, among the seeds of a token, those that belong to its overlay.

All are asked, each a little after the one before, so that dead ones delay
nobody and the first ones are preferred.  A seed first hands out the root's
certificate, believed only by its digest; then its own certificate has to
chain to that root.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import ssl

import httpx
import trio
from cryptography import x509

from p2pcs_nova import errors, wire
from p2pcs_nova.client import answers
from p2pcs_nova.client.streams import bounded, close_if_cancelled
from p2pcs_nova.identity import ca, clock, tls, token
from p2pcs_nova.wall import Wall, utc_now

STAGGER_S = 0.3
"""Between the starts of two seeds."""
SEED_TIMEOUT_S = 5.0
"""For each of a seed's two answers."""
ANSWER_LIMIT = 64 * 1024


class WrongRoot(Exception):
    """The seed is of another overlay, or somebody is in between."""


@dataclasses.dataclass(frozen=True)
class Joiner:
    """What a PC says of itself when it joins.

    :param name: host name, for people
    :param host: where to listen; as the daemon will
    :param port: UDP and TCP; as the daemon will
    """

    name: str
    host: str
    port: int
    wall: Wall = utc_now


@dataclasses.dataclass(frozen=True)
class Seed:
    """A join listener that has shown that it belongs to the overlay."""

    address: str
    client: httpx.AsyncClient


def start(
    nursery: trio.Nursery,
    joining: token.JoinToken,
    joiner: Joiner,
    found: trio.MemorySendChannel[Seed],
    failures: list[tuple[str, Exception]],
) -> None:
    """Try all seeds of the token in the background.

    :param found: gets the good ones, in the order in which they answer;
        closed when no more will come.  Their clients live until the
        nursery is cancelled
    :param failures: gets the others, and why
    """
    with found:
        for number, address in enumerate(joining.seeds):
            nursery.start_soon(
                _try_seed,
                number * STAGGER_S,
                address,
                joining,
                joiner,
                found.clone(),
                failures,
            )


async def exchange(
    client: httpx.AsyncClient,
    method: str,
    timeout_s: float,
    content: bytes = b'',
) -> bytes:
    """One request to ``/v1/join``, within a deadline and a size.

    :raises Unreachable: no answer, or one that does not end
    :raises P2PcsError: refused
    """
    try:
        with trio.fail_after(timeout_s):
            async with client.stream(
                method,
                '/v1/join',
                content=content,
                timeout=None,
                extensions={'trace': close_if_cancelled()},
            ) as answer:
                body = await bounded(
                    answer,
                    ANSWER_LIMIT,
                    errors.Unreachable('the answer does not end'),
                )
    except trio.TooSlowError:
        raise errors.Unreachable(f'no answer within {timeout_s:g} s') from None
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise errors.Unreachable(answers.failure_to_reason(error)) from None
    if not answer.is_success:
        raise answers.failure_to_error(answer.status_code, body)
    return body


async def _try_seed(
    wait_s: float,
    address: str,
    joining: token.JoinToken,
    joiner: Joiner,
    found: trio.MemorySendChannel[Seed],
    failures: list[tuple[str, Exception]],
) -> None:
    async with found:
        await trio.sleep(wait_s)
        try:
            root = await _fetch_root(address, joining, joiner)
            client = _client(address, tls.join_client(root), joiner)
            async with client:
                await exchange(client, 'GET', SEED_TIMEOUT_S)
                await found.send(Seed(address, client))
                await found.aclose()
                await trio.sleep_forever()
        except (errors.P2PcsError, WrongRoot) as error:
            failures.append((address, error))


async def _fetch_root(
    address: str, joining: token.JoinToken, joiner: Joiner
) -> bytes:
    async with _client(address, tls.unverified_client(), joiner) as client:
        body = await exchange(client, 'GET', SEED_TIMEOUT_S)
    offer = answers.body_to_value(body, wire.JoinOffer)
    try:
        root = x509.load_pem_x509_certificate(offer.ca)
    except ValueError:
        raise WrongRoot('it shows no root certificate') from None
    if ca.fingerprint(root) != joining.root:
        raise WrongRoot(
            'its root certificate is not the one that the token pins: it '
            'belongs to another overlay, or somebody is in between'
        )
    clock.check_skew(
        joiner.wall(), offer.wall_clock_s, 'this PC', f'the seed {address}'
    )
    return ca.to_pem(root)


def _client(
    address: str, context: ssl.SSLContext, joiner: Joiner
) -> httpx.AsyncClient:
    """From the address that we will listen on: it is dialled back."""
    bound = ipaddress.ip_address(joiner.host)
    return httpx.AsyncClient(
        base_url=f'https://{address}',
        transport=httpx.AsyncHTTPTransport(
            verify=context,
            local_address=None if bound.is_unspecified else joiner.host,
        ),
        trust_env=False,
    )
