import { createServer } from "node:http";
import { serve } from "inngest/node";
import { billingAgent, inngest } from "./billing.js";

createServer(serve({ client: inngest, functions: [billingAgent] })).listen(
  Number(process.env.PORT ?? 9091),
  process.env.HOST ?? "127.0.0.1",
);
