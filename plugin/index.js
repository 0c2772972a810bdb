// Registration only: which hooks, tools and services the Gateway gets. What happens then is in hooks.js and bus.js.
/** @import { Memory } from "./memory.js" */
/** @import { Loose, Recorded } from "./types.js" */
import { sharedBus } from "./bus.js";
import { registerDashboard } from "./dashboard-proxy.js";
import { HOOKS, onAgentEvent } from "./hooks.js";
import { registerTools } from "./tools.js";
import { isSince } from "./versions.js";

const ID = "openclaw-nats";
const CONVERSATION_ACCESS_SINCE = [2026, 4, 23];

export default {
  id: ID,
  name: "NATS event bus",
  description: "Sends every lifecycle event of this Gateway to NATS JetStream through the openclaw-nats sidecar",

  /** @param {Loose} api what OpenClaw gives to a plugin; it differs between versions */
  register(api) {
    const bus = sharedBus(api.pluginConfig);
    if (api.runtime?.version && api.runtime.version !== "unknown") bus.gatewayVersion = String(api.runtime.version);
    bus.conversationAccess = conversationAccess(api) ?? bus.conversationAccess;

    /** @param {(event: Loose, ctx: Loose | undefined, memory: Memory) => Recorded} make */
    const handle = (make) => (/** @type {Loose} */ event, /** @type {Loose | undefined} */ ctx) => {
      // Returns nothing, so that no hook's result is changed (but see below); throws nothing, awaits nothing.
      try {
        bus.record(make(event, ctx, bus.memory));
      } catch (error) {
        bus.noteHandlerError(error);
      }
    };
    for (const [hook, make] of Object.entries(HOOKS)) {
      const record = handle(make);
      if (hook === "after_tool_call")
        api.on(hook, (/** @type {Loose} */ event, /** @type {Loose | undefined} */ ctx) => {
          record(event, ctx);
          bus.toolEnded(event, ctx);
        });
      else if (hook !== "before_tool_call") api.on(hook, record);
      else
        api.on(hook, (/** @type {Loose} */ event, /** @type {Loose | undefined} */ ctx) => {
          record(event, ctx);
          return bus.judge(event, ctx); // the one hook that answers: what a turn may do
        });
    }

    const subscribe = api.agent?.events?.registerAgentEventSubscription;
    if (typeof subscribe === "function") {
      bus.memory.old = false;
      bus.hasAgentEvents = true;
      const onEvent = handle((event) => onAgentEvent(event, bus.memory));
      api.agent.events.registerAgentEventSubscription({
        id: `${ID}-lifecycle`,
        streams: ["lifecycle"],
        handle: onEvent,
      });
    } else if (!bus.hasAgentEvents && api.registrationMode !== "discovery") {
      bus.memory.old = true;
    }

    registerTools(api, bus);
    registerDashboard(api, bus);

    api.registerService({
      id: ID,
      start: () => {
        // The runtime of this registration: 2026.5 and 2026.6 register a plugin once more for a turn, with a runtime
        // that can't run anything, and start no service of that one.
        if (api.runtime) bus.runs.use(api.runtime);
        return bus.start();
      },
      stop: () => bus.stop(),
    });
  },
};

/**
 * Whether hooks that see conversations may be used: true, false, or null where the Gateway does not ask. It asks since
 * 2026.4.23, and a plugin learns of agent events some releases later.
 * @param {Loose} api
 */
function conversationAccess(api) {
  const subscribes = typeof api.agent?.events?.registerAgentEventSubscription === "function";
  if (!subscribes && !isSince(String(api.runtime?.version), CONVERSATION_ACCESS_SINCE)) return null;
  const entries = api.config?.plugins?.entries;
  return entries ? entries[ID]?.hooks?.allowConversationAccess === true : undefined;
}
