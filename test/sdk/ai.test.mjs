// The AI SDK with OpenRouter's provider. The provider asks for the usage of a stream only where it is told to be strict, since
// OpenRouter sends it unasked.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createOpenRouter } from '@openrouter/ai-sdk-provider';
import { APICallError, RetryError, Output, generateText, isStepCount, jsonSchema, streamText, tool } from 'ai';
import * as world from './world.mjs';

const modelOf = (apiKey, name = world.model) => createOpenRouter({ apiKey, baseURL: world.baseURL, compatibility: 'strict' }).chat(name);
const model = modelOf(world.key);
const prompt = world.question;

// theWeather is a tool that remembers which cities it was asked for.
function theWeather() {
  const cities = [];
  const get_weather = tool({
    description: world.weather.description,
    inputSchema: jsonSchema(world.weather.parameters),
    execute: ({ city }) => (cities.push(city), { sky: 'clear' }),
  });
  return { cities, tools: { get_weather } };
}

test('a plain answer', async () => {
  const answer = await generateText({ model, prompt });
  assert.ok(answer.text);
  assert.ok(answer.usage.totalTokens > 0);
  assert.equal(answer.finishReason, 'stop');
});

test('a streamed answer with its usage', async () => {
  const answer = streamText({ model, prompt });
  let text = '';
  for await (const part of answer.textStream) text += part;
  assert.ok(text);
  assert.ok((await answer.usage).totalTokens > 0);
});

test('tools over several turns, plain and streamed', async () => {
  const asked = { model, prompt: world.weatherQuestion, stopWhen: isStepCount(3) };
  const plain = theWeather();
  const answer = await generateText({ ...asked, tools: plain.tools });
  const streamed = theWeather();
  const stream = streamText({ ...asked, tools: streamed.tools });
  await stream.consumeStream();
  for (const [steps, text, { cities }] of [[answer.steps, answer.text, plain], [await stream.steps, await stream.text, streamed]]) {
    assert.equal(steps.length, 2);
    assert.equal(cities.length, 1);
    assert.ok(text);
  }
});

test('a structured answer, plain and streamed', async () => {
  const asked = { model, prompt, output: Output.object({ schema: jsonSchema(world.recipe) }) };
  world.isRecipe((await generateText(asked)).output);
  world.isRecipe(await streamText(asked).output);
});

test('the error classes', async () => {
  for (const [status, code, other] of [
    [401, 'invalid_api_key', modelOf('mr-wrong')],
    [404, 'model_not_found', modelOf(world.key, 'gpt-none')],
  ]) {
    const error = await world.caught(() => generateText({ model: other, prompt }));
    assert.ok(APICallError.isInstance(error), `${error}`);
    assert.equal(error.statusCode, status);
    assert.equal(error.data?.error.code ?? JSON.parse(error.responseBody).error.code, code);
  }
});

test('an empty budget is not tried again', async () => {
  const error = await world.deniedOnce(() => generateText({ model: modelOf(world.poorKey), prompt }));
  assert.ok(APICallError.isInstance(error), `${error}`);
  assert.equal(error.statusCode, 402);
  assert.match(error.message, /monthly/);
});

test('a rate limit is tried again, and told where the client does not want that', async () => {
  const hurried = modelOf(world.hurriedKey);
  await world.retriedUntilServed(() => generateText({ model: hurried, prompt }));
  const error = await world.caught(async () => {
    for (;;) await generateText({ model: hurried, prompt, maxRetries: 0 });
  });
  assert.ok(!RetryError.isInstance(error) && APICallError.isInstance(error), `${error}`);
  assert.equal(error.statusCode, 429);
});

test('a stream that is aborted', async () => {
  const controller = new AbortController();
  let aborted = false;
  const stream = streamText({ model, prompt: world.slowly, abortSignal: controller.signal, onAbort: () => (aborted = true) });
  let seen = 0;
  for await (const part of stream.textStream) {
    assert.equal(typeof part, 'string');
    if (++seen === 3) controller.abort();
  }
  assert.ok(aborted && seen < 100);
});
