// What a program does with @helicone/helpers, unmodified: every way of logging once. Addresses come as arguments.
import { HeliconeManualLogger } from "@helicone/helpers";

const [apiKey, loggingEndpoint] = process.argv.slice(2);
const helicone = new HeliconeManualLogger({ apiKey, loggingEndpoint, headers: { "Helicone-Property-Environment": "production" } });
const question = { model: "gpt-4o-mini", messages: [{ role: "user", content: "Wohin in Nürnberg?" }] };
const usage = { prompt_tokens: 9, completion_tokens: 2, total_tokens: 11 };
const at = (path) => ({
  "Helicone-Session-Id": "trip-ts",
  "Helicone-Session-Name": "Trip",
  "Helicone-Session-Path": path,
  "Helicone-User-Id": "alice@example.com",
});
const chunks = ["Hel", "lo"].map((content) => ({ model: "gpt-4o-mini", choices: [{ index: 0, delta: { content } }] }));

async function* chat(failsAfter = Infinity) {
  for (const [place, chunk] of [...chunks, { choices: [], usage }].entries()) {
    if (place === failsAfter) throw new Error("connection lost");
    yield chunk;
  }
}

function sse() {
  const lines = [...chunks, { choices: [], usage }].map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`);
  return new Blob([...lines, "data: [DONE]\n\n"]).stream();
}

await helicone.logRequest(
  { _type: "tool", toolName: "weather_api", input: { location: "Nürnberg" } },
  async (recorder) => recorder.appendResults({ temperature: 18.5 }),
  at("/plan/weather"),
);
await helicone.logRequest(
  { _type: "data", name: "castles", meta: { from: "archive" } },
  async (recorder) => recorder.appendResults({ status: "error", message: "no archive" }),
  at("/plan/archive"),
);
await helicone.logRequest(
  { ...question, model: "claude-sonnet-4" },
  async (recorder) =>
    recorder.appendResults({ model: "claude-sonnet-4", usage: { input_tokens: 7, output_tokens: 3 } }),
  at("/plan/sights"),
  "ANTHROPIC",
);
await helicone.logStream(question, async (recorder) => recorder.attachStream(sse()), at("/stream/operation"));
await helicone.logSingleStream(question, sse(), at("/stream/single"));
await helicone.logSingleRequest(question, JSON.stringify({ model: "gpt-4o-mini-2024", usage }), {
  additionalHeaders: at("/single"),
  latencyMs: 1250,
});

const whole = helicone.logBuilder(question, at("/builder/whole"));
await whole.attachStream(chat());
await whole.sendLog();

const failed = helicone.logBuilder(question, at("/builder/failed"));
await failed.attachStream(chat(1)).catch(() => {});
await failed.sendLog();

const cancelled = helicone.logBuilder(question, at("/builder/cancelled"));
const reader = cancelled.toReadableStream(chat()).getReader();
await reader.read();
await reader.cancel();
await cancelled.sendLog();
