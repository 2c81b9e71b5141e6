// Anthropic's SDK, which adds /v1 to its base URL itself.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import * as world from './world.mjs';

const baseURL = world.baseURL.replace(/\/v1$/, '');
const clientOf = (apiKey, options) => new Anthropic({ baseURL, apiKey, ...options });
const client = clientOf(world.key);
const { model } = world;
const max_tokens = 200;
const messages = [{ role: 'user', content: world.question }];
const { name, description, parameters } = world.weather;
const tools = [{ name, description, input_schema: parameters }];

const textOf = (message) => message.content.map((block) => block.text ?? '').join('');

test('a plain answer', async () => {
  const message = await client.messages.create({ model, max_tokens, messages, system: 'Be brief.' });
  assert.ok(textOf(message));
  assert.equal(message.stop_reason, 'end_turn');
  assert.ok(message.usage.input_tokens > 0 && message.usage.output_tokens > 0);
});

test('a streamed answer, by its events', async () => {
  let text = '';
  const types = new Set();
  for await (const event of await client.messages.create({ model, max_tokens, messages, stream: true })) {
    types.add(event.type);
    if (event.type === 'content_block_delta') text += event.delta.text;
  }
  assert.ok(text);
  assert.ok(types.has('message_start') && types.has('message_delta') && types.has('message_stop'));
});

test('a streamed answer, as a whole', async () => {
  const message = await client.messages.stream({ model, max_tokens, messages }).finalMessage();
  assert.ok(textOf(message));
  assert.ok(message.usage.output_tokens > 1);
});

test('JSON that answers a request for a stream', async () => {
  for (const content of [world.question, world.weatherQuestion]) {
    const asked = [{ role: 'user', content: `${content} [[fault: json]]` }];
    const message = await client.messages.stream({ model, max_tokens, messages: asked, tools }).finalMessage();
    assert.ok(textOf(message) || message.content[0].input.city);
    assert.ok(message.usage.output_tokens > 1);
  }
});

test('tools over several turns, plain and streamed', async () => {
  const asked = [{ role: 'user', content: world.weatherQuestion }];
  const plain = await client.messages.create({ model, max_tokens, messages: asked, tools });
  const streamed = await client.messages.stream({ model, max_tokens, messages: asked, tools }).finalMessage();
  for (const turn of [plain, streamed]) {
    assert.equal(turn.stop_reason, 'tool_use');
    const call = turn.content.find((block) => block.type === 'tool_use');
    assert.equal(call.name, 'get_weather');
    assert.equal(typeof call.input.city, 'string');
    const result = { type: 'tool_result', tool_use_id: call.id, content: '{"sky":"clear"}' };
    const told = [...asked, { role: 'assistant', content: turn.content }, { role: 'user', content: [result] }];
    const end = await client.messages.create({ model, max_tokens, messages: told, tools });
    assert.ok(textOf(end));
  }
});

test('the error classes', async () => {
  const asking = (options) => () => client.messages.create({ model, max_tokens, messages, ...options });
  const unauthorized = await world.caught(() => clientOf('mr-wrong').messages.create({ model, max_tokens, messages }));
  assert.ok(unauthorized instanceof Anthropic.AuthenticationError);
  assert.equal(unauthorized.type, 'authentication_error');

  const unknown = await world.caught(asking({ model: 'claude-none' }));
  assert.ok(unknown instanceof Anthropic.NotFoundError);
  assert.equal(unknown.type, 'not_found_error');

  const bad = await world.caught(asking({ tools: [{ type: 'web_search_20250305', name: 'web_search' }] }));
  assert.ok(bad instanceof Anthropic.BadRequestError);
  assert.match(bad.message, /tools\[0\]\.type/);

  const counted = await world.caught(() => client.messages.countTokens({ model, messages }));
  assert.ok(counted instanceof Anthropic.NotFoundError);

  for (const fault of ['error-chunk=0', 'error-chunk=3']) {
    const asked = [{ role: 'user', content: `Hello. [[fault: ${fault}]]` }];
    const error = await world.caught(() => clientOf(world.key, { maxRetries: 0 }).messages.stream({ model, max_tokens, messages: asked }).finalMessage());
    assert.ok(error instanceof Anthropic.APIError, fault);
    assert.equal(error.type, 'api_error', fault);
  }
});

test('an empty budget is not tried again', async () => {
  const poor = clientOf(world.poorKey);
  for (const stream of [false, true]) {
    const error = await world.deniedOnce(() => poor.messages.create({ model, max_tokens, messages, stream }));
    assert.ok(error instanceof Anthropic.APIError);
    assert.equal(error.status, 402);
    assert.equal(error.type, 'billing_error');
  }
});

test('a rate limit is tried again, and told where the client does not want that', async () => {
  await world.retriedUntilServed(() => clientOf(world.hurriedKey).messages.create({ model, max_tokens, messages }));
  const impatient = clientOf(world.hurriedKey, { maxRetries: 0 });
  const error = await world.caught(async () => {
    for (;;) await impatient.messages.create({ model, max_tokens, messages });
  });
  assert.ok(error instanceof Anthropic.RateLimitError);
  assert.equal(error.headers.get('anthropic-ratelimit-requests-limit'), '1');
});

test('a stream that is aborted', async () => {
  const stream = await client.messages.create({ model, max_tokens: 500, messages: [{ role: 'user', content: world.slowly }], stream: true });
  let seen = 0;
  for await (const event of stream) {
    assert.ok(event);
    if (++seen === 5) stream.controller.abort();
  }
  assert.ok(seen < 100);
});
