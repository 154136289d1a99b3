// A stand-in for Azure's Functions host, which the registries do not have: it loads a function app with
// the real SDKs, replays its orchestrator against a history, and runs its activities, as the host and
// the Durable extension do. Timers take at most 50 ms.
//
//   node host.cjs APP INSTANCE INPUT [EVENT...]
//
// APP is a folder of built functions. Each EVENT is raised once nothing else goes on. Prints
// {"output", "calls": {activity: attempts}, "tries": {scheduled input: attempts}, "at_event": {…}}.

const Module = require("node:module");
const path = require("node:path");
const fs = require("node:fs");

const [app, instanceId, input, ...events] = process.argv.slice(2);
const functions = new Map();
const core = {
  version: "4.1",
  setProgrammingModel() {},
  registerFunction(metadata, handler) {
    functions.set(metadata.name, handler);
  },
  log() {},
};
const load = Module._load;
Module._load = function (request, ...rest) {
  return request === "@azure/functions-core" ? core : load.call(this, request, ...rest);
};
const folder = path.resolve(app);
for (const file of fs.readdirSync(folder)) if (file.endsWith(".js")) require(path.join(folder, file));
const { InvocationContext } = load(Module.createRequire(path.join(folder, "app.js")).resolve("@azure/functions"));

const at = (event) => ({ EventId: -1, IsPlayed: false, Timestamp: new Date(), ...event });
const Kind = {
  ExecutionStarted: 0,
  TaskScheduled: 4,
  TaskCompleted: 5,
  TaskFailed: 6,
  TimerCreated: 10,
  TimerFired: 11,
  OrchestratorStarted: 12,
  EventRaised: 15,
};

const history = [
  at({ EventType: Kind.OrchestratorStarted }),
  at({ EventType: Kind.ExecutionStarted, Name: "Billing", Input: input }),
];
const tasks = new Map(); // id of a task → what it is, over its attempts
const timers = new Map(); // id of a timer → the task that waits for it
const ended = []; // events that are not in the history yet
const tries = {};
const calls = {};
let wake = () => {};
let nextId = 0;
let known = 0;
let running = 0;

function start(id, task) {
  tasks.set(id, task);
  task.attempt += 1;
  const name = task.action.functionName;
  calls[name] = (calls[name] ?? 0) + 1;
  const item = `${name} ${JSON.stringify(task.action.input)}`;
  tries[item] = (tries[item] ?? 0) + 1;
  history.push(at({ EventType: Kind.TaskScheduled, EventId: id, Name: name }));
  running += 1;
  const context = new InvocationContext({ functionName: name, invocationId: `${id}`, logHandler() {} });
  Promise.resolve(functions.get(name)(task.action.input, context))
    .then(
      (result) => ({ EventType: Kind.TaskCompleted, TaskScheduledId: id, Result: JSON.stringify(result ?? null) }),
      (error) => ({ EventType: Kind.TaskFailed, TaskScheduledId: id, Reason: error.message, Details: "" }),
    )
    .then(arrive);
}

function arrive(event) {
  running -= 1;
  ended.push(event);
  wake();
}

// The SDK numbers what it asks for; the host's numbers must be the same, so events come one by one.
function follow(event) {
  const failed = event.EventType === Kind.TaskFailed && tasks.get(event.TaskScheduledId);
  if (failed && failed.action.retryOptions) {
    const id = nextId++;
    timers.set(id, failed);
    history.push(at({ EventType: Kind.TimerCreated, EventId: id, FireAt: new Date() }));
    running += 1;
    const pause = Math.min(50, failed.action.retryOptions.firstRetryIntervalInMilliseconds);
    setTimeout(() => arrive({ EventType: Kind.TimerFired, TimerId: id, FireAt: new Date() }), pause);
  }
  const waited = event.EventType === Kind.TimerFired && timers.get(event.TimerId);
  if (waited && waited.attempt < waited.action.retryOptions.maxNumberOfAttempts) start(nextId++, waited);
}

function flat(actions) {
  return actions.flatMap((action) => (action.compoundActions ? flat(action.compoundActions) : [action]));
}

async function replay() {
  const context = new InvocationContext({ functionName: "Billing", invocationId: instanceId, logHandler() {} });
  const trigger = {
    history: history.map((event) => ({ ...event })),
    input: JSON.parse(input),
    instanceId,
    isReplaying: false,
    upperSchemaVersion: 0,
  };
  return functions.get("Billing")(trigger, context);
}

async function main() {
  let at_event;
  for (;;) {
    const state = JSON.parse(JSON.stringify(await replay()));
    if (state.isDone) return { output: state.output, calls, tries, at_event };
    const actions = flat(state.actions.flat());
    for (const action of actions.slice(known)) {
      if (action.functionName) start(nextId++, { action, attempt: 0 });
    }
    known = actions.length;
    while (ended.length === 0) {
      if (running === 0) {
        const name = events.shift();
        if (!name) throw new Error("nothing goes on, and the orchestration is not done");
        at_event = { ...calls };
        ended.push({ EventType: Kind.EventRaised, Name: name, Input: "true" });
        break;
      }
      await new Promise((resolve) => (wake = resolve));
    }
    const event = ended.shift();
    history.push(at({ EventType: Kind.OrchestratorStarted }), at(event));
    follow(event);
  }
}

main().then(
  (ended) => console.log(JSON.stringify(ended)),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
