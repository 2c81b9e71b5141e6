// Mistral's SDK, whose chat completions are close enough to OpenAI's. It appends /v1 to the server's URL by itself.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Mistral } from '@mistralai/mistralai';
import * as errors from '@mistralai/mistralai/models/errors';
import * as world from './world.mjs';

const at = (apiKey) => new Mistral({ apiKey, serverURL: world.baseURL.replace(/\/v1$/, '') });
const client = at(world.key);
const messages = [{ role: 'user', content: world.question }];
const { model } = world;
const tools = [{ type: 'function', function: world.weather }];

test('a plain answer', async () => {
  const answer = await client.chat.complete({ model, messages });
  assert.ok(answer.choices[0].message.content);
  assert.ok(answer.usage.totalTokens > 0);
});

test('a streamed answer', async () => {
  let text = '';
  for await (const { data } of await client.chat.stream({ model, messages })) text += data.choices[0]?.delta.content ?? '';
  assert.ok(text);
});

test('tools over several turns', async () => {
  const asked = [{ role: 'user', content: world.weatherQuestion }];
  const { toolCalls } = (await client.chat.complete({ model, messages: asked, tools })).choices[0].message;
  assert.equal(toolCalls[0].function.name, 'get_weather');
  const told = [...asked, { role: 'assistant', toolCalls }, { role: 'tool', toolCallId: toolCalls[0].id, content: 'clear' }];
  assert.ok((await client.chat.complete({ model, messages: told, tools })).choices[0].message.content);
});

test('a structured answer', async () => {
  const responseFormat = { type: 'json_schema', jsonSchema: { name: 'recipe', strict: true, schemaDefinition: world.recipe } };
  world.isRecipe(JSON.parse((await client.chat.complete({ model, messages, responseFormat })).choices[0].message.content));
});

test('the errors', async () => {
  for (const [status, code, call] of [
    [401, 'invalid_api_key', () => at('mr-wrong').chat.complete({ model, messages })],
    [404, 'model_not_found', () => client.chat.complete({ model: 'gpt-none', messages })],
  ]) {
    const error = await world.caught(call);
    assert.ok(error instanceof errors.MistralError, `${error}`);
    assert.equal(error.statusCode, status);
    assert.equal(JSON.parse(error.body).error.code, code);
  }
});

test('an empty budget is not tried again', async () => {
  const error = await world.deniedOnce(() => at(world.poorKey).chat.complete({ model, messages }));
  assert.equal(error.statusCode, 402);
});

test('a rate limit is tried again where the client asks for it', async () => {
  const retries = { strategy: 'backoff', backoff: { initialInterval: 100, maxInterval: 1000, exponent: 1.5, maxElapsedTime: 30000 } };
  await world.retriedUntilServed(() => at(world.hurriedKey).chat.complete({ model, messages }, { retries }));
});

test('a stream that is aborted', async () => {
  const controller = new AbortController();
  const asked = [{ role: 'user', content: world.slowly }];
  await world.caught(async () => {
    for await (const event of await client.chat.stream({ model, messages: asked }, { fetchOptions: { signal: controller.signal } })) {
      assert.ok(event);
      controller.abort();
    }
  });
  assert.ok(controller.signal.aborted);
});
