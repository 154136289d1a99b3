# What the scripts of twilio-python share: a client on the proxy, as the guide has it.
# VAULT_KEY and KEYBRAKE_URL come from the test that runs a script.

import os

from twilio.rest import Client

# The proxy fills in the real account.
ACCOUNT = "AC" + "0" * 32
SERVICE = "VA" + "0" * 31 + "1"
ANN = "+15552223333"
US = "+15550001111"


def client():
    """Each product has an address of its own."""
    twilio = Client(ACCOUNT, os.environ["VAULT_KEY"])
    for product in (twilio.api, twilio.verify, twilio.lookups):
        product.base_url = os.environ["KEYBRAKE_URL"] + "/twilio"
    return twilio
