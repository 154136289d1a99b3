"""What users get for tests of their own: the fixtures, in a project that is not this one."""

import os
from pathlib import Path

import pytest

from keybrake import stripe_client
from keybrake.testing import KeybrakeServer, ProgramNotFound
from keybrake.testing.server import program

pytest_plugins = ["pytester"]

SUITE = """
import os
import pytest
import keybrake

def charge(customer, amount_cents, period):
    with keybrake.Keybrake() as client:
        cap = keybrake.cents(amount_cents)
        key = client.issue(label="billing", endpoints=["POST /v1/charges"], total_cap=cap)
    return keybrake.stripe_client(key).v1.charges.create(
        {"amount": amount_cents, "currency": "usd", "source": "tok_visa"},
        {"idempotency_key": keybrake.billing_idempotency_key(customer, amount_cents, period)},
    ).id

def test_a_retry_charges_once(keybrake_server, keybrake_vendor):
    assert charge("cus_1", 2999, "2026-06") == charge("cus_1", 2999, "2026-06")
    assert [made.amount for made in keybrake_vendor.executed()] == [2999]

def test_each_test_has_a_vendor_of_its_own(keybrake_vendor):
    assert keybrake_vendor.executed() == []

def test_another_endpoint_is_refused(keybrake_server, keybrake_vendor):
    with keybrake_server.client() as client:
        key = client.issue(label="billing", endpoints=["POST /v1/charges"], total_cap=1)
    with pytest.raises(keybrake.CallRefused, match="endpoint_not_allowed"):
        keybrake.stripe_client(key).v1.customers.list()
    assert keybrake_vendor.requests()["received"] == 0

def test_the_session_has_one_too(keybrake_session_server):
    with keybrake_session_server.vendor.watched() as vendor:
        pass
    assert vendor.charges == []
"""


def test_a_users_suite_runs_on_the_real_program(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SUITE)
    pytester.runpytest_subprocess("-p", "keybrake.testing.plugin").assert_outcomes(passed=4)


def test_without_the_program_a_test_fails_and_is_not_skipped(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYBRAKE_BIN", "/nowhere/keybrake")
    with pytest.raises(ProgramNotFound, match="/nowhere/keybrake"):
        program()
    monkeypatch.delenv("KEYBRAKE_BIN")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ProgramNotFound, match="KEYBRAKE_BIN"):
        KeybrakeServer()
    pytester.makepyfile("def test_it(keybrake_vendor): pass")
    pytester.runpytest_inprocess("-p", "keybrake.testing.plugin").assert_outcomes(errors=1)


def test_the_program_on_the_path_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keybrake").symlink_to(program())
    monkeypatch.delenv("KEYBRAKE_BIN", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert program() == tmp_path / "keybrake"


def test_a_program_that_does_not_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "keybrake"
    broken.write_text("#!/bin/sh\necho it is broken\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("KEYBRAKE_BIN", str(broken))
    with pytest.raises(RuntimeError, match="the sandbox did not start: it is broken"):
        KeybrakeServer().__enter__()


def test_nothing_is_left_when_it_has_stopped() -> None:
    with KeybrakeServer() as server:
        running = [process.pid for process in server._running]
        folder = Path(server._data.name)
        assert len(running) == 2
        assert folder.exists()
        assert server.api_key not in repr(server)
        assert server.vendor.stripe_secret not in f"{server!r}{server.vendor!r}"
    assert not any(Path(f"/proc/{pid}").exists() for pid in running)
    assert not folder.exists()


def test_faults_and_held_answers_are_the_sandboxs(keybrake_server: KeybrakeServer) -> None:
    vendor = keybrake_server.vendor
    with pytest.raises(ValueError, match="the sandbox refused it"):
        vendor.faults(no_such_fault=1)
    vendor.hold_answers()
    assert vendor.held() == 0
    vendor.hold_answers(False)
    with keybrake_server.client() as client:
        key = client.issue(label="t", endpoints=["POST /v1/charges"], total_cap=50)
    with vendor.watched() as seen:
        stripe_client(key).v1.charges.create({"amount": 500, "currency": "usd", "source": "tok_visa"})
    assert (len(seen.executed), len(seen.charges), seen.charged_cents) == (1, 1, 500)
    assert vendor.requests()["faults"]["answer_lost"] == 0
