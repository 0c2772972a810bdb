// Tools that succeed, throw, and return an error result, for the tests of tool events.
const text = (value) => ({ content: [{ type: "text", text: value }], details: {} });
const tools = {
  bus_ok: async (id, params) => text(`ok ${JSON.stringify(params)}`),
  bus_throw: async () => {
    throw new Error("thrown on purpose");
  },
  bus_soft: async () => ({ ...text("soft failure"), isError: true, details: { status: "error", error: "soft on purpose" } }),
};

export default {
  id: "bus-probe",
  name: "Bus probe",
  description: "Tools for tests",
  register(api) {
    const parameters = { type: "object", properties: { note: { type: "string" } } };
    for (const [name, execute] of Object.entries(tools)) {
      api.registerTool({ name, label: name, description: `Test tool ${name}`, parameters, execute });
    }
  },
};
