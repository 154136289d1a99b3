// What the scripts share: a client of stripe-node on the proxy, the admin API, and refusals.
// VAULT_KEY, KEYBRAKE_URL, KEYBRAKE_API_KEY, STRIPE_PREFIX and RETRIES come from the test.
// Without a prefix the SDK gets host, port and protocol, which is all that its options can say;
// with one, an HTTP client of its own puts it before each path. A script ends well or with a
// failed assertion; the test then looks at what the vendor executed.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const Stripe = createRequire(`${process.env.TEST_TOOLS}/node/`)('stripe');

export const url = process.env.KEYBRAKE_URL;
export const { errors } = Stripe;
export const visa = { currency: 'usd', confirm: true, payment_method: 'pm_card_visa' };
const prefix = process.env.STRIPE_PREFIX ?? '';

export function client(vaultKey = process.env.VAULT_KEY) {
  const { hostname: host, port, protocol } = new URL(url);
  const prefixed = (to, init) => {
    const { pathname, search } = new URL(to);
    return fetch(`${url}${prefix}${pathname}${search}`, init);
  };
  return new Stripe(vaultKey, {
    host,
    port,
    protocol: protocol.replace(':', ''),
    maxNetworkRetries: Number(process.env.RETRIES ?? 2),
    ...(prefix && { httpClient: Stripe.createFetchHttpClient(prefixed) }),
  });
}

/** Pays by a confirmed PaymentIntent. */
export function pay(stripe, cents, idempotencyKey) {
  const options = idempotencyKey ? { idempotencyKey } : {};
  return stripe.paymentIntents.create({ amount: cents, ...visa }, options);
}

/** A header of the answer that brought an object. SDKs that fetch keep it as `Headers`. */
export function header({ lastResponse: { headers } }, name) {
  return headers instanceof Headers ? headers.get(name) : (headers[name] ?? null);
}

/** A call of the admin API, with its JSON answer. */
export async function admin(method, path, body) {
  const answer = await fetch(url + path, {
    method,
    headers: {
      Authorization: `Bearer ${process.env.KEYBRAKE_API_KEY}`,
      'Content-Type': 'application/json',
    },
    body: body && JSON.stringify(body),
  });
  assert.ok(answer.ok, `${method} ${path}: ${answer.status}`);
  return answer.json();
}

/** The error that a call ends with: exactly of this class, with this status and code. */
export async function refused(kind, status, code, call) {
  let error;
  try {
    await call();
  } catch (caught) {
    error = caught;
  }
  assert.ok(error, `not refused as ${code}`);
  assert.equal(error.constructor, kind, `${error.constructor.name}: ${error.message}`);
  assert.equal(error.statusCode, status);
  assert.equal(error.code, code);
  assert.ok(error.message, 'an error says what happened');
  return error;
}

/** The ids of new customers, made at the vendor itself. */
export function customers(count) {
  const one = async () => {
    const answer = await fetch(`${process.env.VENDOR_URL}/v1/customers`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${process.env.VENDOR_SECRET}` },
    });
    assert.ok(answer.ok, `the vendor makes no customer: ${answer.status}`);
    return (await answer.json()).id;
  };
  return Promise.all(Array.from({ length: count }, one));
}
