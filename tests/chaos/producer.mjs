// The plugin's bus in a bare Node process: produces events at a rate and writes the id of each that the spool took
// into a ledger, after the handler returned. Ends on SIGTERM as a Gateway does: it stops the service.
import fs from "node:fs";
import { Bus } from "../../plugin/bus.js";

const [home, ledgerPath, rate] = process.argv.slice(2);
const ledger = fs.openSync(ledgerPath, "a");
const bus = new Bus(home);
const append = bus.spool.append.bind(bus.spool);
let taken = "";
bus.spool.append = (line) => {
  const { id } = JSON.parse(line);
  const ok = append(line);
  // What could not be written is owed as well: it has to be told by an overflow event.
  taken += `${id}\n`;
  return ok;
};
await bus.start();
let number = 0;
const timer = setInterval(() => {
  for (let n = 0; n < Math.round(Number(rate) / 50); n += 1) {
    number += 1;
    bus.record({ subject: `tool.chaos.completed`, type: "tool.completed", data: { number, tool: "chaos", success: true } });
  }
  fs.writeSync(ledger, taken);
  taken = "";
}, 20);
process.on("SIGTERM", async () => {
  clearInterval(timer);
  await bus.stop();
  process.exit(0);
});
