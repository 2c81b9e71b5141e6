// OpenAI's SDK, by its other way to ask for an answer.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI from 'openai';
import * as world from './world.mjs';

const client = new OpenAI();
const { model } = world;
const tools = [{ type: 'function', ...world.weather, strict: true }];

test('a plain answer', async () => {
  const answer = await client.responses.create({ model, input: world.question, instructions: 'Be brief.' });
  assert.ok(answer.output_text);
  assert.equal(answer.status, 'completed');
  assert.equal(answer.store, false);
  assert.ok(answer.usage.total_tokens > 0);
});

test('a streamed answer, by its events and as a whole', async () => {
  let text = '';
  for await (const event of await client.responses.create({ model, input: world.question, stream: true })) {
    if (event.type === 'response.output_text.delta') text += event.delta;
  }
  assert.ok(text);
  const whole = await client.responses.stream({ model, input: world.question }).finalResponse();
  assert.ok(whole.output_text);
  assert.ok(whole.usage.total_tokens > 0);
});

test('JSON that answers a request for a stream', async () => {
  const whole = await client.responses.stream({ model, input: `${world.question} [[fault: json]]` }).finalResponse();
  assert.ok(whole.output_text);
  assert.ok(whole.usage.total_tokens > 0);
  const called = await client.responses.stream({ model, input: `${world.weatherQuestion} [[fault: json]]`, tools }).finalResponse();
  assert.equal(typeof JSON.parse(called.output[0].arguments).city, 'string');
});

test('tools over several turns, plain and streamed', async () => {
  const asked = [{ role: 'user', content: world.weatherQuestion }];
  const plain = await client.responses.create({ model, input: asked, tools });
  const streamed = await client.responses.stream({ model, input: asked, tools }).finalResponse();
  for (const turn of [plain, streamed]) {
    const call = turn.output.find((item) => item.type === 'function_call');
    assert.equal(call.name, 'get_weather');
    assert.equal(typeof JSON.parse(call.arguments).city, 'string');
    const told = [...asked, ...turn.output, { type: 'function_call_output', call_id: call.call_id, output: '{"sky":"clear"}' }];
    const end = await client.responses.create({ model, input: told, tools });
    assert.ok(end.output_text);
  }
});

test('a structured answer', async () => {
  const text = { format: { type: 'json_schema', name: 'recipe', strict: true, schema: world.recipe } };
  const answer = await client.responses.parse({ model, input: world.question, text });
  world.isRecipe(answer.output_parsed ?? JSON.parse(answer.output_text));
});

test('the error classes', async () => {
  const bad = await world.caught(() => client.responses.create({ model, input: world.question, tools: [{ type: 'web_search' }] }));
  assert.ok(bad instanceof OpenAI.BadRequestError);
  assert.equal(bad.param, 'tools[0].type');

  const kept = await world.caught(() => client.responses.create({ model, input: world.question, previous_response_id: 'resp_1' }));
  assert.ok(kept instanceof OpenAI.BadRequestError);
  assert.equal(kept.param, 'previous_response_id');

  const retrieved = await world.caught(() => client.responses.retrieve('resp_1'));
  assert.ok(retrieved instanceof OpenAI.NotFoundError);

  const broken = await world.caught(async () => {
    const input = 'Hello. [[fault: error-chunk=4,empty-choices]]';
    for await (const event of await client.responses.create({ model, input, stream: true })) assert.ok(event);
  });
  assert.ok(broken instanceof OpenAI.APIError);
  assert.equal(broken.code, 'server_error');
  // The SDK tells of a response that failed by its status.
  let last;
  for await (const event of await client.responses.create({ model, input: 'Hello. [[fault: error-chunk=4]]', stream: true })) last = event;
  assert.equal(last.type, 'response.failed');
});

test('an empty budget is not tried again', async () => {
  const poor = new OpenAI({ apiKey: world.poorKey });
  for (const stream of [false, true]) {
    const error = await world.deniedOnce(() => poor.responses.create({ model, input: world.question, stream }));
    assert.equal(error.status, 402);
    assert.equal(error.code, 'budget_exhausted');
  }
});

test('a rate limit is tried again', async () => {
  const hurried = new OpenAI({ apiKey: world.hurriedKey });
  await world.retriedUntilServed(() => hurried.responses.create({ model, input: world.question }));
});

test('a stream that is aborted', async () => {
  const stream = await client.responses.create({ model, input: world.slowly, stream: true });
  let seen = 0;
  for await (const event of stream) {
    assert.ok(event);
    if (++seen === 6) stream.controller.abort();
  }
  assert.ok(seen < 100);
});
