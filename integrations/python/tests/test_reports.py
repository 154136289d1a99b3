from datetime import datetime, timedelta, timezone
from decimal import Decimal

import httpx
import pytest
from support import PAYMENTS, until

from keybrake import CallRefused, CapExhausted, Keybrake, VaultKey, stripe_client
from keybrake.testing import KeybrakeServer


def pay(key: VaultKey, dollars: int, idempotency_key: str, agent: str) -> None:
    stripe_client(key).v1.payment_intents.create(
        {"amount": dollars * 100, "currency": "usd", "confirm": True, "payment_method": "pm_card_visa"},
        {"idempotency_key": idempotency_key, "headers": {"X-Keybrake-Context": f"agent={agent}"}},
    )


@pytest.fixture
def runs(client: Keybrake) -> None:
    """Two runs of two agents: $7 and $2, and what the first one's cap refused."""
    for label, agent, amounts in (("a/1", "x", [3, 4]), ("b/1", "y", [2])):
        key = client.issue(label=label, endpoints=PAYMENTS, total_cap=10)
        for number, dollars in enumerate(amounts):
            pay(key, dollars, f"{label}/{number}", agent)
        if label == "a/1":
            with pytest.raises(CapExhausted):
                pay(key, 4, "capped", agent)
    until(lambda: len(list(client.calls(state="settled"))) == 3)


@pytest.mark.usefixtures("runs")
def test_costs_are_told_by_run_agent_and_vendor(client: Keybrake) -> None:
    first, second = client.report_runs()
    assert (first.label, first.agent, second.label, second.agent) == ("a/1", "x", "b/1", "y")
    figures = first.figures
    assert (figures.allowed, figures.denied, figures.capped, figures.forbidden) == (2, 1, 1, 0)
    assert (figures.replayed, figures.in_doubt_calls) == (0, 0)
    assert (figures.spent, figures.in_doubt, figures.held) == (Decimal(7), Decimal(0), Decimal(0))
    assert figures.first_call_at < figures.last_call_at <= datetime.now(timezone.utc)
    agents = [(row.agent, row.runs, row.figures.spent) for row in client.report_agents()]
    assert agents == [("x", 1, Decimal(7)), ("y", 1, Decimal(2))]
    vendors = list(client.report_vendors(label_prefix="b/"))
    assert [(row.vendor, row.figures.spent) for row in vendors] == [("stripe", Decimal(2))]
    assert vendors[0].day == second.figures.first_call_at.date()


@pytest.mark.usefixtures("runs")
def test_a_run_that_stands_out_says_why(client: Keybrake) -> None:
    (found,) = client.report_anomalies()
    assert found.run.label == "a/1"
    assert [(reason.code, reason.why) for reason in found.reasons] == [("cap_hit", "its cap refused 1 call")]


@pytest.mark.usefixtures("runs")
def test_filters_all_hold(client: Keybrake) -> None:
    now = datetime.now(timezone(timedelta(hours=5)))
    before = now - timedelta(hours=1)
    assert [row.label for row in client.report_runs(label="b/1", vendor="stripe", since=before)] == ["b/1"]
    assert list(client.report_runs(until=before)) == []
    assert list(client.report_runs(vendor="twilio")) == []
    with pytest.raises(ValueError, match="time zone"):
        client.report_runs(since=datetime(2026, 1, 1))
    with pytest.raises(TypeError, match="no filter 'run'"):
        client.report_agents(run="a/1")  # type: ignore[call-arg]


@pytest.mark.usefixtures("runs")
def test_an_audit_key_reads_the_costs_of_its_runs(client: Keybrake) -> None:
    with Keybrake(client.url, client.issue_audit(label="b/").token) as auditor:
        assert [row.label for row in auditor.report_runs()] == ["b/1"]
    key = client.issue(label="b/2", endpoints=PAYMENTS, total_cap=1)
    with Keybrake(client.url, key.token) as spender, pytest.raises(CallRefused, match="not_permitted"):
        list(spender.report_runs())


@pytest.mark.anyio
@pytest.mark.usefixtures("runs")
async def test_the_async_client_reads_them_too(keybrake_server: KeybrakeServer) -> None:
    async with keybrake_server.async_client() as client:
        assert [row.label async for row in client.report_runs()] == ["a/1", "b/1"]
        assert [row.agent async for row in client.report_agents()] == ["x", "y"]
        assert [row.vendor async for row in client.report_vendors()] == ["stripe"]
        assert [row.run.label async for row in client.report_anomalies()] == ["a/1"]


def test_many_pages_are_one_report(keybrake_server: KeybrakeServer, client: Keybrake) -> None:
    with httpx.Client(trust_env=False) as http:
        for number in range(1001):
            key = client.issue(label=f"run/{number}", endpoints=PAYMENTS, total_cap=1)
            headers = {"Authorization": f"Bearer {key.token}"}
            http.get(f"{keybrake_server.url}/stripe/v1/nothing", headers=headers)
    assert len({row.label for row in client.report_runs()}) == 1001
