"""What each client does when the proxy did it and its answer was lost."""

import pytest
from cutting import losing
from support import CARD, PAYMENTS

from keybrake import AsyncKeybrake, Keybrake, OutcomeUnknown, Unavailable, VaultKey, stripe_client
from keybrake.testing import KeybrakeServer


def test_an_issue_whose_answer_is_lost_is_one_budget(keybrake_server: KeybrakeServer) -> None:
    with losing(keybrake_server.url, 2) as wire, Keybrake(wire.url, keybrake_server.api_key) as client:
        key = client.issue(label="test/run-1", endpoints=PAYMENTS, total_cap=1)
        assert wire.requests == 3
    with keybrake_server.client() as admin:
        assert [seen.key_id for seen in keys_of(admin)] == [key.key_id]


@pytest.mark.anyio
async def test_an_awaited_issue_whose_answer_is_lost_is_one_budget(keybrake_server: KeybrakeServer) -> None:
    with losing(keybrake_server.url, 2) as wire:
        async with AsyncKeybrake(wire.url, keybrake_server.api_key) as client:
            key = await client.issue(label="test/run-1", endpoints=PAYMENTS, total_cap=1)
    with keybrake_server.client() as admin:
        assert [seen.key_id for seen in keys_of(admin)] == [key.key_id]


def test_a_refresh_and_a_revocation_whose_answers_are_lost_are_done_once(
    keybrake_server: KeybrakeServer, key: VaultKey
) -> None:
    with losing(keybrake_server.url, 1) as wire, Keybrake(wire.url, keybrake_server.api_key) as client:
        fresh = client.refresh(key)
    with losing(keybrake_server.url, 1) as wire, Keybrake(wire.url, keybrake_server.api_key) as client:
        ended = client.revoke(fresh)
    with keybrake_server.client() as admin:
        assert {seen.key_id for seen in keys_of(admin)} == {key.key_id, fresh.key_id}
        assert admin.status(key).revoked_at == ended.revoked_at


def test_when_all_answers_are_lost_it_says_that_it_may_be_done(keybrake_server: KeybrakeServer) -> None:
    with losing(keybrake_server.url, 9) as wire, Keybrake(wire.url, keybrake_server.api_key) as client:
        with pytest.raises(OutcomeUnknown, match="may have been carried out"):
            client.issue(label="test/run-1", endpoints=PAYMENTS, total_cap=1)
        with pytest.raises(Unavailable, match="did not answer a read"):
            client.status("vk_0000000000000")


def test_a_charge_whose_answer_is_lost_is_found_again_by_the_sdks_retry(
    keybrake_server: KeybrakeServer, key: VaultKey
) -> None:
    with losing(keybrake_server.url, 2) as wire:
        client = stripe_client(key, base_url=f"{wire.url}/stripe")
        made = client.v1.payment_intents.create(
            {"amount": 500, **CARD},  # type: ignore[typeddict-item]
            {"idempotency_key": "a"},
        )
    assert [row.object_id for row in keybrake_server.vendor.executed()] == [made.id]


def test_a_charge_whose_answer_stays_lost_is_in_doubt_to_its_caller(
    keybrake_server: KeybrakeServer, key: VaultKey
) -> None:
    with losing(keybrake_server.url, 9) as wire:
        client = stripe_client(key, base_url=f"{wire.url}/stripe", max_network_retries=1)
        with pytest.raises(OutcomeUnknown, match="same idempotency key, never with a new one") as lost:
            client.v1.payment_intents.create(
                {"amount": 500, **CARD},  # type: ignore[typeddict-item]
                {"idempotency_key": "a"},
            )
        assert wire.requests == 2
        with pytest.raises(Unavailable):
            client.v1.payment_intents.retrieve("pi_1")
    assert lost.value.__cause__ is None
    assert len(keybrake_server.vendor.executed()) == 1


def keys_of(admin: Keybrake) -> list[VaultKey]:
    """The run's keys, by the admin API itself: the client has no list of keys."""
    answer = admin._http.get("/vault/keys", params={"agent_run_label": "test/run-1"}).raise_for_status()
    from keybrake._wire import _vault_key

    return [_vault_key({"base_url": "", **row}) for row in answer.json()["data"]]
