import pytest
import resend
from twilio.base.exceptions import TwilioRestException

from keybrake import (
    CallRefused,
    CapExhausted,
    Keybrake,
    OutcomeUnknown,
    Unavailable,
    resend_client,
    twilio_client,
)
from keybrake.keys import VaultKey
from keybrake.testing import KeybrakeServer

ANN, US = "+15552223333", "+15550001111"
MAIL: resend.Emails.SendParams = {
    "from": "Acme <billing@example.com>",
    "to": ["ann@example.org"],
    "subject": "Your invoice",
    "html": "<p>It is due.</p>",
}


@pytest.fixture
def texts(client: Keybrake) -> VaultKey:
    endpoints = ["POST /2010-04-01/Accounts/{sid}/Messages.json", "GET /*"]
    return client.issue(label="test/run-1", endpoints=endpoints, total_cap="0.02", vendor="twilio")


@pytest.fixture
def mails(client: Keybrake) -> VaultKey:
    endpoints = ["POST /emails", "POST /emails/*", "GET /*"]
    return client.issue(label="test/run-1", endpoints=endpoints, total_cap="0.002", vendor="resend")


def test_a_message_is_sent_once_though_twilio_knows_no_keys(
    keybrake_server: KeybrakeServer, texts: VaultKey
) -> None:
    sent = [
        twilio_client(key, idempotency_key="a").messages.create(to=ANN, from_=US, body="Due").sid
        for key in (texts, texts.handle())
    ]
    assert len(set(sent)) == 1
    assert twilio_client(texts, idempotency_key=None).messages(sent[0]).fetch().body == "Due"
    assert keybrake_server.vendor.executed_at("twilio")["messages"] == 1


def test_a_second_message_under_one_client_is_refused(
    keybrake_server: KeybrakeServer, texts: VaultKey
) -> None:
    client = twilio_client(texts, idempotency_key="a")
    client.messages.create(to=ANN, from_=US, body="Due")
    with pytest.raises(CallRefused, match="idempotency_key_reused"):
        client.messages.create(to=ANN, from_=US, body="Overdue")
    assert keybrake_server.vendor.executed_at("twilio")["messages"] == 1


def test_at_the_cap_a_message_is_refused(keybrake_server: KeybrakeServer, texts: VaultKey) -> None:
    def send(n: int) -> None:
        twilio_client(texts, idempotency_key=f"m{n}").messages.create(to=ANN, from_=US, body="Due")

    send(1)
    with pytest.raises((CapExhausted, Unavailable)):
        send(2)
    assert keybrake_server.vendor.executed_at("twilio")["messages"] == 1


def test_a_message_in_doubt_is_never_sent_again(keybrake_server: KeybrakeServer, texts: VaultKey) -> None:
    vendor = keybrake_server.vendor
    vendor.faults(answer_lost=1_000_000)
    for _ in range(2):
        with pytest.raises(OutcomeUnknown):
            twilio_client(texts, idempotency_key="a").messages.create(to=ANN, from_=US, body="Due")
    assert vendor.executed_at("twilio")["messages"] == 1


def test_twilios_own_errors_are_twilios(texts: VaultKey) -> None:
    with pytest.raises(TwilioRestException) as missing:
        twilio_client(texts, idempotency_key=None).messages("SM" + "0" * 32).fetch()
    assert missing.value.status == 404


def test_a_mail_is_sent_once_and_reads_nothing_from_the_module(
    keybrake_server: KeybrakeServer, mails: VaultKey
) -> None:
    assert resend.api_key is None
    sent = [
        resend_client(key).emails.send(MAIL, {"idempotency_key": "a"})["id"]
        for key in (mails, mails.handle())
    ]
    assert len(set(sent)) == 1
    assert resend_client(mails).emails.get(sent[0])["subject"] == "Your invoice"
    assert resend_client(mails).request("get", "/domains")["data"] is not None
    assert keybrake_server.vendor.executed_at("resend")["mails"] == 1


def test_a_batch_is_sent_once(keybrake_server: KeybrakeServer, mails: VaultKey) -> None:
    answers = [resend_client(mails).batch.send([MAIL, MAIL], {"idempotency_key": "a"}) for _ in range(2)]
    assert len(answers[0]["data"]) == 2
    assert keybrake_server.vendor.executed_at("resend")["mails"] == 2


def test_at_the_cap_a_mail_is_refused(keybrake_server: KeybrakeServer, mails: VaultKey) -> None:
    for n in range(2):
        resend_client(mails).emails.send(MAIL, {"idempotency_key": f"m{n}"})
    with pytest.raises((CapExhausted, Unavailable)):
        resend_client(mails).emails.send(MAIL, {"idempotency_key": "m2"})
    assert keybrake_server.vendor.executed_at("resend")["mails"] == 2


def test_resends_own_errors_are_resends(mails: VaultKey) -> None:
    with pytest.raises(resend.exceptions.ResendError) as wrong:
        resend_client(mails).emails.get("4ef9a417-02e9-4d39-ad75-9611e0fcc33c")
    assert wrong.value.code == 404


def test_a_scheduled_mail_is_called_off(mails: VaultKey) -> None:
    client = resend_client(mails)
    sent = client.emails.send({**MAIL, "scheduled_at": "2026-12-24T18:00:00Z"}, {"idempotency_key": "a"})
    assert client.emails.cancel(sent["id"], {"idempotency_key": "b"})["id"] == sent["id"]


def test_a_proxy_that_is_away_sent_nothing() -> None:
    with pytest.raises(Unavailable, match="nothing was sent"):
        resend_client("vault_key_any", base_url="http://127.0.0.1:9/resend").emails.send(MAIL)
    away = twilio_client("vault_key_any", idempotency_key="a", base_url="http://127.0.0.1:9/twilio")
    with pytest.raises(Unavailable, match="nothing was sent"):
        away.messages.create(to=ANN, from_=US, body="Due")
