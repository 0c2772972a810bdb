// How often hooks have fired, and how often they were due: by what came of other hooks, never by the clock. The sidecar
// compares it with the history of this Gateway (health/hook_history.py): a new OpenClaw may have broken one.
/** @import { Made } from "./types.js" */
import { BoundedMap } from "./memory.js";

export class HookCounts {
  constructor() {
    this.counts = {
      "agent.run_ended": { fired: 0, due: 0 }, // due with each answer of a model
      "llm.output": { fired: 0, due: 0 }, // due with each turn that ended well
      "model.call": { fired: 0, due: 0 }, // as llm.output
      tool: { fired: 0, due: 0 }, // due with each such turn that was let through to a tool
    };
    /** @type {BoundedMap<string, boolean>} */
    this.withTools = new BoundedMap(); // runs
  }

  /**
   * An event was made, whatever the filter says of it.
   * @param {Made} made
   */
  made({ subject, runId, data }) {
    const { counts } = this;
    if (subject.startsWith("tool.")) counts.tool.fired += 1;
    else if (subject.startsWith("model.call.")) counts["model.call"].fired += 1;
    else if (subject === "llm.output") {
      counts["llm.output"].fired += 1;
      if (data.success) counts["agent.run_ended"].due += 1;
    } else if (subject === "agent.run_ended") {
      counts["agent.run_ended"].fired += 1;
      const tools = this.withTools.take(runId ?? "");
      if (data.status !== "ok") return;
      counts["llm.output"].due += 1;
      counts["model.call"].due += 1;
      if (tools) counts.tool.due += 1;
    }
  }

  /**
   * A tool is about to be called.
   * @param {string | undefined} runId
   */
  toolCalled(runId) {
    if (runId) this.withTools.set(runId, true);
  }
}
