import { createServer } from "node:http2";
import * as restate from "@restatedev/restate-sdk";
import { billing, chargeOne } from "./billing.js";
import { billingByName } from "./by-name.js";

// `restate.serve` would listen on all interfaces.
const handler = restate.createEndpointHandler({ services: [billing, chargeOne, billingByName] });
createServer(handler).listen(Number(process.env.PORT ?? 9081), process.env.HOST ?? "127.0.0.1");
