// What the Go test tells a script of the world that it has started, and what each script asks for.
import assert from 'node:assert/strict';

const env = process.env;

// The base URL, the key and the model are under the names that a consumer's Secret has for them.
export const baseURL = env.OPENAI_BASE_URL;
export const key = env.OPENAI_API_KEY;
export const model = env.MODEL;
// poorKey is of a consumer with an empty budget, hurriedKey of one that may ask once in two seconds.
export const poorKey = env.POOR_KEY;
export const hurriedKey = env.HURRIED_KEY;

export const question = 'Explain quantum entanglement in one sentence.';
// slowly has the upstream write a long answer over seconds.
export const slowly = 'Tell me a very long story. [[fault: answer=400, chunk-delay=5ms]]';
export const weatherQuestion = 'What is the weather in Paris?';

// weather is a function that a model may call, as a JSON schema.
export const weather = {
  name: 'get_weather',
  description: 'Tells the weather in a city.',
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false },
};

// recipe is a JSON schema for an answer.
export const recipe = {
  type: 'object',
  properties: { title: { type: 'string' }, minutes: { type: 'integer' }, steps: { type: 'array', items: { type: 'string' } } },
  required: ['title', 'minutes', 'steps'],
  additionalProperties: false,
};

export function isRecipe(value) {
  assert.equal(typeof value.title, 'string');
  assert.ok(Number.isInteger(value.minutes));
  assert.ok(Array.isArray(value.steps));
}

// denials is how many requests the proxy has refused for a reason since it began.
export async function denials(reason) {
  const metrics = await (await fetch(env.METRICS_URL)).text();
  const lines = metrics.split('\n').filter((line) => line.startsWith('modelroute_proxy_denials_total{') && line.includes(`reason="${reason}"`));
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

// deniedOnce says that a call is refused for want of money, and that it is not tried again. It returns the error.
export async function deniedOnce(call) {
  const before = await denials('exhausted');
  const error = await caught(call);
  assert.equal(await denials('exhausted'), before + 1, 'the SDK must not try again');
  return error;
}

// retriedUntilServed says that a call which a rate limit refuses succeeds by the SDK's own retry. A window may end between two calls, so
// there are as many calls as it takes until one was refused.
export async function retriedUntilServed(call) {
  const before = await denials('rate_limited');
  while ((await denials('rate_limited')) === before) await call();
}

// caught is the error that a call throws.
export async function caught(call) {
  try {
    await call();
  } catch (error) {
    return error;
  }
  return assert.fail('the call must fail');
}
