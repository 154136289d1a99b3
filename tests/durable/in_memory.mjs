// A run on Microsoft's in-memory backend for JavaScript: issue once, charge in parallel with a retry
// policy, count, revoke. Its activities hand their input to the worker: `azure` in the envelope of
// Azure's host, where a cap hit is a value; `throwing` by plain JSON, where it becomes an error that the
// retry policy leaves out.
//
//   node in_memory.mjs azure|throwing WORKER INSTANCE ORDER
//
// Prints {"charged", "codes", "spent_usd", "calls": {activity: attempts}, "most_attempts"}.

import { createRequire } from "node:module";
import path from "node:path";

const require = createRequire(path.join(process.env.PACKAGES, "index.js"));
const { RetryPolicy } = require("@microsoft/durabletask-js");
const { InMemoryOrchestrationBackend, TestOrchestrationClient, TestOrchestrationWorker } =
  require("@microsoft/durabletask-js/dist/testing");

const [way, workerUrl, instance, order] = process.argv.slice(2);
const calls = {};
const attempts = {};

class Refused extends Error {
  constructor(told) {
    super(told.message);
    this.name = told.error;
  }
}

async function inEnvelope(name, input, instanceId) {
  const answer = await fetch(`${workerUrl}/${name}`, {
    method: "POST",
    headers: { "X-Azure-Functions-InvocationId": "1", "X-Azure-Functions-HostVersion": "4.0" },
    body: JSON.stringify({ Data: { input: JSON.stringify(JSON.stringify(input)) }, Metadata: { instanceId } }),
  });
  if (!answer.ok) throw new Error(`${answer.status}`); // the host drops the body
  return (await answer.json()).ReturnValue;
}

const paths = {
  IssueVaultKey: "issue-vault-key",
  ChargeCustomer: "charge-one",
  RevokeVaultKey: "revoke-vault-key",
};

async function byJson(name, input, instanceId) {
  const answer = await fetch(`${workerUrl}/activities/${paths[name]}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ run_id: instanceId, ...input }),
  });
  const told = await answer.json();
  if (!told.ok) throw new Refused(told);
  return told;
}

function activity(name) {
  return (context, input) => {
    calls[name] = (calls[name] ?? 0) + 1;
    const item = `${name} ${input.item_index}`;
    attempts[item] = (attempts[item] ?? 0) + 1;
    return (way === "azure" ? inEnvelope : byJson)(name, input, context.orchestrationId);
  };
}

const retry = new RetryPolicy({
  maxNumberOfAttempts: 5,
  firstRetryIntervalInMilliseconds: 100,
  handleFailure: (failure) => failure.errorType !== "CapExhausted",
});

async function* billing(context, { budget_usd, customers }) {
  const key = yield context.callActivity(
    "IssueVaultKey",
    { vendor: "stripe", daily_usd_cap: budget_usd, allowed_endpoints: ["POST /v1/payment_intents"], expires_in: "2h" },
    { retry },
  );
  const charges = customers.map((customer, item_index) =>
    context.callActivity("ChargeCustomer", { customer, key_id: key.key_id, item_index }, { retry }),
  );
  let charged = 0;
  const codes = {};
  for (const charge of charges) {
    try {
      const ended = yield charge;
      if (ended.ok) charged += 1;
      else codes[ended.code] = (codes[ended.code] ?? 0) + 1;
    } catch (error) {
      const code = error.details?.errorType ?? error.name;
      codes[code] = (codes[code] ?? 0) + 1;
    }
  }
  const revoked = yield context.callActivity("RevokeVaultKey", { key_id: key.key_id }, { retry });
  return { charged, codes, spent_usd: revoked.spent_usd };
}

const backend = new InMemoryOrchestrationBackend();
const worker = new TestOrchestrationWorker(backend);
worker.addNamedOrchestrator("billing", billing);
for (const name of Object.keys(paths)) worker.addNamedActivity(name, activity(name));
const client = new TestOrchestrationClient(backend);
await worker.start();
const id = await client.scheduleNewOrchestration("billing", JSON.parse(order), instance);
const state = await client.waitForOrchestrationCompletion(id, true, 60);
await worker.stop();
backend.reset?.();
if (!state?.serializedOutput) throw new Error(JSON.stringify(state));
const most_attempts = Math.max(...Object.values(attempts));
console.log(JSON.stringify({ ...JSON.parse(state.serializedOutput), calls, most_attempts }));
process.exit(0);
