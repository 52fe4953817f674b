import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { TARGET } from "./server.js";

const SCRIPT = fileURLToPath(new URL("../call.js", import.meta.url));

function call(...words: string[]): Promise<{ code: number; said: string; complained: string }> {
  const env = { ...process.env, FLOWSTATE_SERVER: TARGET };
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [SCRIPT, ...words], { env }, (_, said, complained) =>
      resolve({ code: child.exitCode ?? -1, said, complained }),
    );
  });
}

test("an action is called from the command line", async () => {
  const { code, said } = await call("probe", "speak", '{"words": 2}');
  assert.deepEqual([code, said], [0, "word-0 word-1 \n"]);
  const silent = await call("probe", "keep", '{"number": 9223372036854775807}');
  assert.deepEqual([silent.code, silent.said], [0, '{"number":9223372036854775807}\n']);
});

test("it says what failed and what was refused", async () => {
  const failed = await call("probe", "fail", '{"words": 0}');
  assert.deepEqual([failed.code, failed.complained], [1, "NO_LUCK: this never works\n"]);
  const refused = await call("no-such-flow", "say");
  assert.equal(refused.code, 1);
  assert.match(refused.complained, /^ApiError NOT_FOUND FLOW_NOT_FOUND: /);
  assert.equal((await call()).code, 2);
});
