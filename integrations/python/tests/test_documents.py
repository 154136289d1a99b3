"""The documents' snippets, run as they are printed, on customers that the sandbox has."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml
from stage import Stage

import keybrake
from keybrake.testing import KeybrakeServer

ROOT = Path(__file__).parents[3]


def blocks(document: str, language: str) -> list[str]:
    text = (ROOT / document).read_text()
    return [textwrap.dedent(found) for found in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)]


def run(snippets: list[str], customer: str, names: dict[str, Any]) -> dict[str, Any]:
    # As a script: what Ray sends to workers then goes as a whole.
    names["__name__"] = "__main__"
    for number, snippet in enumerate(snippets):
        code = compile(snippet.replace("cus_abc123", customer), f"<snippet {number}>", "exec")
        exec(code, names)
    return names


@pytest.mark.parametrize("document", ["docs/python.md", "integrations/python/README.md"])
def test_pythons_guide_works_as_printed(
    document: str, keybrake_server: KeybrakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    import stripe

    vendor = keybrake_server.vendor
    at_stripe = stripe.StripeClient(vendor.stripe_secret, base_addresses={"api": vendor.url})
    customer = at_stripe.v1.customers.create({"source": "tok_visa"}).id
    with vendor.watched() as seen:
        names = run(blocks(document, "python"), customer, {"keybrake": keybrake})
    assert [made.amount for made in seen.charges] == [2999]
    if document == "docs/python.md":
        said = capsys.readouterr().out.split()
        assert said[0] == "50.00"
        assert said[1:3] == ["50.00", "29.99"]
        assert said[4:] == ["29.99", seen.charges[0].object_id]
        names["test_a_retry_charges_once"](keybrake_server, OnlyNew(keybrake_server))


class OnlyNew:
    """What is executed from now on: the guide's test has a sandbox of its own."""

    def __init__(self, server: KeybrakeServer) -> None:
        self._vendor = server.vendor
        self._before = len(server.vendor.executed())

    def executed(self) -> list[Any]:
        return self._vendor.executed()[self._before :]


def test_rays_guide_works_as_printed(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    import ray

    customers = stage.customers(3)
    names: dict[str, Any] = {"ray": ray, "customers": customers}
    names["write_charge_to_database"] = lambda *row: None
    with stage.server.vendor.watched() as vendor:
        names = run(blocks("docs/ray.md", "python"), customers[0], names)
    # A task, and all three under a run, of which one was charged; then the actor; then the rows.
    assert sorted(made.amount for made in vendor.charges) == [200] * 3 + [500] * 3 + [2999] * 3
    assert len(names["charged"]) == 3
    assert names["charged_before"].vendor_object_id in {made.object_id for made in vendor.charges}
    assert names["app"] is not None


def test_the_manifests_for_kubernetes_can_be_read() -> None:
    [manifests] = blocks("docs/ray.md", "yaml")
    kinds = {one["kind"]: one for one in yaml.safe_load_all(manifests)}
    assert set(kinds) == {"Secret", "RayCluster", "NetworkPolicy"}
    [group] = kinds["RayCluster"]["spec"]["workerGroupSpecs"]
    [container] = group["template"]["spec"]["containers"]
    # A worker can't issue.
    assert {variable["name"] for variable in container["env"]} == {"KEYBRAKE_URL", "KEYBRAKE_CALLER_API_KEY"}
    assert "stripe" not in str(kinds["NetworkPolicy"])
