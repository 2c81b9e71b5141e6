// OpenRouter's own SDK. Its classes for errors need a number as the code, which it gets below /api/v1, where OpenRouter's own URL ends.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OpenRouter } from '@openrouter/sdk';
import * as errors from '@openrouter/sdk/models/errors';
import * as world from './world.mjs';

const at = (apiKey) => new OpenRouter({ apiKey, serverURL: world.baseURL.replace(/\/v1$/, '/api/v1') });
const client = at(world.key);
const messages = [{ role: 'user', content: world.question }];
const { model } = world;
const tools = [{ type: 'function', function: world.weather }];
const send = (request, from = client, options = undefined) => from.chat.send({ chatRequest: { model, messages, ...request } }, options);

// failing is a request that fails at the upstream, in the way that is named.
const failing = (fault) => ({ messages: [{ role: 'user', content: `Hello. [[fault: ${fault}]]` }], maxTokens: 50 });

// gather joins the deltas of a stream.
async function gather(stream) {
  const whole = { content: '', calls: [], usage: undefined };
  for await (const chunk of stream) {
    whole.usage = chunk.usage ?? whole.usage;
    for (const { delta } of chunk.choices) {
      whole.content += delta.content ?? '';
      for (const { index, id, function: part } of delta.toolCalls ?? []) {
        whole.calls[index] ??= { id, type: 'function', function: { name: part.name, arguments: '' } };
        whole.calls[index].function.arguments += part.arguments ?? '';
      }
    }
  }
  return whole;
}

test('a plain answer', async () => {
  const answer = await send({});
  assert.ok(answer.choices[0].message.content);
  assert.ok(answer.usage.cost > 0);
});

test('a streamed answer with its usage', async () => {
  const whole = await gather(await send({ stream: true, streamOptions: { includeUsage: true } }));
  assert.ok(whole.content);
  assert.ok(whole.usage.totalTokens > 0);
});

test('tools over several turns', async () => {
  const asked = [{ role: 'user', content: world.weatherQuestion }];
  const plain = (await send({ messages: asked, tools })).choices[0].message.toolCalls;
  const streamed = (await gather(await send({ messages: asked, tools, stream: true }))).calls;
  for (const toolCalls of [plain, streamed]) {
    assert.equal(toolCalls[0].function.name, 'get_weather');
    assert.equal(typeof JSON.parse(toolCalls[0].function.arguments).city, 'string');
    const told = [...asked, { role: 'assistant', toolCalls }, { role: 'tool', toolCallId: toolCalls[0].id, content: 'clear' }];
    assert.ok((await send({ messages: told, tools })).choices[0].message.content);
  }
});

test('a structured answer', async () => {
  const responseFormat = { type: 'json_schema', jsonSchema: { name: 'recipe', strict: true, schema: world.recipe } };
  world.isRecipe(JSON.parse((await send({ responseFormat })).choices[0].message.content));
});

test('embeddings', async () => {
  const answer = await client.embeddings.generate({ requestBody: { model, input: ['one', 'two'], dimensions: 8, inputType: 'search_query' } });
  assert.deepEqual(answer.data.map(({ embedding }) => embedding.length), [8, 8]);
  assert.ok(answer.usage.cost > 0);
});

test('the models and their prices', async () => {
  const { data } = (await client.models.list()).result;
  assert.deepEqual(data.map(({ id }) => id), [model]);
  assert.equal(data[0].pricing.prompt, '0.000002');
  assert.equal(data[0].pricing.completion, '0.000006');
});

test('the classes of errors', async () => {
  const once = { retries: { strategy: 'none' } }; // It tries a failure of the server again for an hour.
  const denied = () => world.deniedOnce(() => send({}, at(world.poorKey))).then((error) => { throw error; });
  const cases = [
    [errors.UnauthorizedResponseError, 401, 'invalid_api_key', () => send({}, at('mr-wrong'))],
    [errors.NotFoundResponseError, 404, 'model_not_found', () => send({ model: 'gpt-none' })],
    [errors.PaymentRequiredResponseError, 402, 'budget_exhausted', denied],
    [errors.BadRequestResponseError, 400, 'array_above_max_length', () => send({ stop: ['a', 'b', 'c', 'd', 'e'] })],
    [errors.ServiceUnavailableResponseError, 503, 'upstream_overloaded', () => send(failing('status=503'), client, once)],
    [errors.BadGatewayResponseError, 502, 'upstream_disconnected', () => send(failing('reset'), client, once)],
    [errors.BadRequestResponseError, 400, 'empty_string', () => client.embeddings.generate({ requestBody: { model, input: '' } })],
  ];
  for (const [kind, status, word, call] of cases) {
    const error = await world.caught(call);
    assert.ok(error instanceof kind, `${error}`);
    assert.equal(error.statusCode, status);
    assert.equal(error.error.code, status);
    assert.equal(error.error.metadata.error_type, word);
  }
});

test('an error in mid-stream is one that the SDK can read', async () => {
  let error;
  const stream = await send({ ...failing('no-done'), stream: true });
  for await (const chunk of stream) error = chunk.error ?? error;
  assert.equal(error.code, 502);
  assert.equal(error.metadata.errorType, 'upstream_disconnected');
});

test('a rate limit is tried again where the client asks for it', async () => {
  const retries = { strategy: 'backoff', backoff: { initialInterval: 100, maxInterval: 1000, exponent: 1.5, maxElapsedTime: 30000 } };
  await world.retriedUntilServed(() => send({}, at(world.hurriedKey), { retries, retryCodes: ['429'] }));
});

test('a stream that is aborted', async () => {
  const controller = new AbortController();
  const stream = await send({ messages: [{ role: 'user', content: world.slowly }], stream: true }, client, { signal: controller.signal });
  const error = await world.caught(async () => {
    for await (const chunk of stream) {
      assert.ok(chunk);
      controller.abort();
    }
  });
  assert.match(`${error.name} ${error.message}`, /abort/i);
});
