import assert from "node:assert/strict";
import { test } from "node:test";

import { costOf } from "../../plugin/cost.js";

const last = { input: 100, output: 10, cost: { input: 0.3, output: 0.15, total: 0.45 } };

test("a run's cost follows from its tokens and the prices of its last answer", () => {
  assert.equal(costOf({ input: 300, output: 20 }, last), 300 * 0.003 + 20 * 0.015);
  assert.equal(costOf({ input: 300, output: 20, cost: { total: 2 } }, last), 2);
  assert.equal(costOf({ input: 300, output: 20, cost: { total: 0 } }, last), 300 * 0.003 + 20 * 0.015);
  assert.equal(costOf({ input: 300, cost: { total: 0 } }, undefined), 0);
});

test("what is not enough to know the cost gives none, whatever stands there", () => {
  for (const [usage, answer] of [
    [{ input: 300 }, undefined],
    [{ input: 300, cacheRead: 50 }, last],
    [{}, last],
    [{ input: 300 }, { input: 100, cost: { input: 0, total: 0 } }],
    [{ input: 300 }, { input: 0, cost: { input: 1, total: 1 } }],
    [{ input: 300 }, { input: "100", cost: { input: "1", total: "1" } }],
    [{ input: 300 }, { input: 100, cost: { input: Number.NaN, total: Number.POSITIVE_INFINITY } }],
    [{ input: 300, cost: { total: -5 } }, null],
  ]) {
    assert.equal(costOf(/** @type {any} */ (usage), /** @type {any} */ (answer)), undefined);
  }
});
