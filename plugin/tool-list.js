// The tools that agents get: names, what they are told, parameters. What a tool does, and what it does not allow, is
// decided in the sidecar (src/openclaw_nats/agent_tools); here is nothing to circumvent.

/** @param {string} description */
const text = (description) => ({ type: "string", description });
/** @param {string} description */
const number = (description) => ({ type: "number", description });
/** @param {string} description */
const whole = (description) => ({ type: "integer", description });
/** @param {string} description */
const object = (description) => ({ type: "object", description, additionalProperties: true });
/** @param {Record<string, object>} properties @param {string[]} [required] */
const parameters = (properties, required = []) => ({
  type: "object",
  properties,
  required,
  additionalProperties: false,
});

const SUBJECT = text("Full subject, such as agent.events.custom.backup.done");
const PATTERN = text("Subject pattern: * is one token, a final > the rest, as in agent.events.custom.backup.>");
const NAME = text("Its name");
const ID = text("The id that nats_subscribe or nats_subscriptions gave");
const FILTER = object('{"logic":"and|or","conditions":[{"field":"status","op":"eq","value":"bad"}]}');
const WHEN = text("CEL condition on the event, such as data.status == 'bad'");
const PRIORITY = whole("1 low … 10 high");
const DEBOUNCE = text("Wait until nothing has come for so long (30s, 5m), then one turn with everything");
const BATCH = whole("Up to so many events in one turn");
const PER_HOUR = whole("Most turns in an hour");
const EXPIRES = text("End after so long (7d)");
const TARGET = text('Leave out for this session, "main", or "isolated" for a turn of its own');
const MISSED = text("What to do with missed runs: run_once (default), skip, within:2h");
const ZONE = text("IANA time zone, such as Europe/Berlin");
const CRON = text("Five cron fields, such as 30 8 * * MON-FRI, or @daily");

export const TOOLS = [
  {
    name: "nats_publish",
    description: "Publish an event on the event bus: other agents, sessions and programs that subscribed get it.",
    parameters: parameters(
      {
        subject: SUBJECT,
        payload: object("The event's data"),
        priority: PRIORITY,
        id: text("Makes a repetition harmless"),
      },
      ["subject"],
    ),
  },
  {
    name: "nats_events",
    description: "Look up recent events of the bus instead of waiting: by subject pattern, session and time.",
    parameters: parameters({
      subject: PATTERN,
      session: text("Only events about this session key"),
      since: text("2h, or an RFC 3339 time; default 1h"),
      until: text("The same"),
      limit: whole("Newest so many, 1 to 100; default 20"),
    }),
  },
  {
    name: "nats_request",
    description: "Ask a service over NATS and wait for its answer. Only subjects that the operator allows.",
    parameters: parameters(
      {
        subject: text("The service's subject"),
        payload: object("The question"),
        timeoutMs: number("Default 5000, at most 30000"),
      },
      ["subject"],
    ),
  },
  {
    name: "nats_subscribe",
    description: "Get woken with a turn when matching events come, instead of polling. Bursts become one turn.",
    parameters: parameters(
      {
        pattern: PATTERN,
        name: NAME,
        target: TARGET,
        filter: FILTER,
        when: WHEN,
        payload: object("Merged into each event's data"),
        priority: PRIORITY,
        debounce: DEBOUNCE,
        batch: BATCH,
        maxPerHour: PER_HOUR,
        expiresIn: EXPIRES,
      },
      ["pattern"],
    ),
  },
  {
    name: "nats_unsubscribe",
    description: "End one of your subscriptions.",
    parameters: parameters({ id: ID }, ["id"]),
  },
  {
    name: "nats_subscriptions",
    description: "List the subscriptions that wake you.",
    parameters: parameters({ pattern: PATTERN, target: TARGET }),
  },
  {
    name: "nats_route_update",
    description: "Change one of your subscriptions; what you leave out stays.",
    parameters: parameters(
      {
        id: ID,
        target: TARGET,
        enabled: { type: "boolean" },
        filter: FILTER,
        when: WHEN,
        payload: object("Merged into each event's data"),
        priority: PRIORITY,
        debounce: DEBOUNCE,
        batch: BATCH,
        maxPerHour: PER_HOUR,
        expiresIn: EXPIRES,
      },
      ["id"],
    ),
  },
  {
    name: "nats_cron_add",
    description: "Publish an event at set times. Subscribe to the subject in the answer to be woken.",
    parameters: parameters(
      {
        name: NAME,
        cron: CRON,
        subject: SUBJECT,
        payload: object("The event's data"),
        timezone: ZONE,
        priority: PRIORITY,
        missed: MISSED,
      },
      ["name", "cron"],
    ),
  },
  {
    name: "nats_cron_update",
    description: "Change one of your cron jobs; what you leave out stays.",
    parameters: parameters(
      {
        name: NAME,
        cron: CRON,
        subject: SUBJECT,
        payload: object("The event's data"),
        timezone: ZONE,
        priority: PRIORITY,
        missed: MISSED,
        enabled: { type: "boolean" },
      },
      ["name"],
    ),
  },
  {
    name: "nats_cron_remove",
    description: "Remove one of your cron jobs.",
    parameters: parameters({ name: NAME }, ["name"]),
  },
  { name: "nats_cron_list", description: "List cron jobs with their next runs.", parameters: parameters({}) },
  {
    name: "nats_cron_toggle",
    description: "Pause one of your cron jobs, or resume it.",
    parameters: parameters({ name: NAME }, ["name"]),
  },
  {
    name: "nats_cron_run",
    description: "Fire one of your cron jobs now.",
    parameters: parameters({ name: NAME }, ["name"]),
  },
  {
    name: "nats_timer_set",
    description: "Publish an event once, later. Subscribe to the subject in the answer to be woken.",
    parameters: parameters(
      {
        name: NAME,
        delayMs: number("Milliseconds from now"),
        delay: text("Or 5m, 2h, 7d from now"),
        at: text("Or an RFC 3339 time with a zone"),
        subject: SUBJECT,
        payload: object("The event's data"),
        priority: PRIORITY,
      },
      ["name"],
    ),
  },
  {
    name: "nats_timer_cancel",
    description: "Cancel one of your timers.",
    parameters: parameters({ name: NAME }, ["name"]),
  },
  { name: "nats_timer_list", description: "List timers that have not fired.", parameters: parameters({}) },
];
