// Every refusal that no retry helps against, as the class that the SDK makes of it.
// The client would retry twice; none of these is asked again.
// Needs a key for PaymentIntents with a cap of $50 and a limit of $20 a call.
// The keys of the calls say what they are refused for.
// The test counts: one payment executed, and each refusal once.

import { client, errors, pay, refused, visa } from './common.mjs';

const stripe = client();

await pay(stripe, 500, 'paid');
await refused(errors.StripeIdempotencyError, 400, 'idempotency_key_reused', () => pay(stripe, 501, 'paid'));
await refused(errors.StripePermissionError, 403, 'endpoint_not_allowed', () =>
  stripe.charges.create({ amount: 500, currency: 'usd', source: 'tok_visa' }, { idempotencyKey: 'charge' }),
);
await refused(errors.StripePermissionError, 403, 'per_call_cap_exceeded', () => pay(stripe, 2_001, 'large'));
await refused(errors.StripePermissionError, 403, 'currency_not_priced', () =>
  stripe.paymentIntents.create({ ...visa, amount: 500, currency: 'xxx' }, { idempotencyKey: 'currency' }),
);
for (const amount of ['5.00', '-500', '1e3', '']) {
  await refused(errors.StripeInvalidRequestError, 400, 'invalid_amount', () =>
    pay(stripe, amount, `amount ${amount}`),
  );
}
await refused(errors.StripeAuthenticationError, 401, 'invalid_key', () =>
  pay(client('vault_key_stranger'), 500, 'stranger'),
);
