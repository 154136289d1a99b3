// What the scripts of twilio-node share: a client on the proxy, as the guide has it.
// VAULT_KEY and KEYBRAKE_URL come from the test that runs a script.

import { createRequire } from 'node:module';

export const Twilio = createRequire(`${process.env.TEST_TOOLS}/node/`)('twilio');

// The proxy fills in the real account.
const account = `AC${'0'.repeat(32)}`;
export const service = `VA${'0'.repeat(31)}1`;
export const ann = '+15552223333';
export const us = '+15550001111';

/** Each product has an address of its own. */
export function client(options) {
  const twilio = new Twilio(account, process.env.VAULT_KEY, options);
  for (const product of [twilio.api, twilio.verify, twilio.lookups]) {
    product.baseUrl = `${process.env.KEYBRAKE_URL}/twilio`;
  }
  return twilio;
}
