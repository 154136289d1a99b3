import asyncio
from decimal import Decimal

import pytest
from support import CARD, PAYMENTS, until

from keybrake import AsyncKeybrake, CallRefused, KeyRevoked, OutcomeUnknown, Unavailable, stripe_client
from keybrake.testing import KeybrakeServer

pytestmark = pytest.mark.anyio


async def test_a_run_from_issue_to_revocation(keybrake_server: KeybrakeServer) -> None:
    async with keybrake_server.async_client() as client:
        key = await client.issue(label="test/run-1", endpoints=PAYMENTS, total_cap=Decimal("50"))
        stripe = stripe_client(key)
        made = await stripe.v1.payment_intents.create_async(
            {"amount": 500, **CARD},  # type: ignore[typeddict-item]
            {"idempotency_key": "a"},
        )
        assert (await client.status(key)).remaining == 45
        await asyncio.to_thread(until, lambda: keybrake_server.client().status(key).held == 0)
        fresh = await client.refresh(key)
        assert fresh.budget_id == key.budget_id
        found = await client.already_charged("a")
        assert found is not None
        assert (found.amount, found.vendor_object_id) == (Decimal(5), made.id)
        assert await client.already_charged("b") is None
        rows = [row async for row in client.calls(label="test/run-1")]
        assert (await client.call(rows[0].call_id)).idempotency_key == "a"
        audit = await client.issue_audit(label="test/")
        assert audit.token is not None
        await client.revoke(fresh)
        with pytest.raises(KeyRevoked):
            await stripe.v1.payment_intents.retrieve_async(made.id)
        assert (await client.revoke_run(label_prefix="test/")).spent == 5
        assert repr(client) == f"AsyncKeybrake({keybrake_server.url!r})"


async def test_a_call_in_doubt_is_not_none(keybrake_server: KeybrakeServer) -> None:
    async with keybrake_server.async_client() as client:
        key = await client.issue(label="test/run-1", endpoints=PAYMENTS, total_cap=50)
        keybrake_server.vendor.hold_answers()
        paying = asyncio.create_task(
            stripe_client(key).v1.payment_intents.create_async(
                {"amount": 500, **CARD},  # type: ignore[typeddict-item]
                {"idempotency_key": "a"},
            )
        )
        await asyncio.to_thread(until, lambda: keybrake_server.vendor.held() == 1)
        with pytest.raises(OutcomeUnknown):
            await client.already_charged("a")
        keybrake_server.vendor.hold_answers(False)
        await paying


async def test_refusals_and_silence_are_errors(keybrake_server: KeybrakeServer) -> None:
    async with keybrake_server.async_client() as client:
        with pytest.raises(CallRefused, match="label"):
            await client.issue(label="", endpoints=PAYMENTS, total_cap=1)
    async with AsyncKeybrake("http://127.0.0.1:9", "kb_api_any_any_any_any") as client:
        with pytest.raises(Unavailable, match="nothing was sent"):
            await client.status("vk_0000000000000")
