// LangChain's client for OpenAI, which finds base URL and key in the environment.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HumanMessage, ToolMessage } from '@langchain/core/messages';
import { ChatOpenAI } from '@langchain/openai';
import * as world from './world.mjs';

const { model } = world;
const client = new ChatOpenAI({ model });
const tool = { type: 'function', function: world.weather };

test('a plain answer', async () => {
  const answer = await client.invoke(world.question);
  assert.ok(answer.text);
  assert.ok(answer.usage_metadata.total_tokens > 0);
});

test('a streamed answer with its usage', async () => {
  let whole;
  for await (const chunk of await client.stream(world.question)) whole = whole ? whole.concat(chunk) : chunk;
  assert.ok(whole.text);
  assert.ok(whole.usage_metadata.total_tokens > 0);
});

test('tools over several turns, plain and streamed', async () => {
  const withTools = client.bindTools([tool]);
  const asked = [new HumanMessage(world.weatherQuestion)];
  let streamed;
  for await (const chunk of await withTools.stream(asked)) streamed = streamed ? streamed.concat(chunk) : chunk;
  for (const turn of [await withTools.invoke(asked), streamed]) {
    const [call] = turn.tool_calls;
    assert.equal(call.name, 'get_weather');
    assert.equal(typeof call.args.city, 'string');
    const end = await withTools.invoke([...asked, turn, new ToolMessage({ tool_call_id: call.id, content: 'clear' })]);
    assert.ok(end.text);
  }
});

test('a structured answer', async () => {
  const structured = client.withStructuredOutput(world.recipe, { name: 'recipe', method: 'jsonSchema', strict: true });
  world.isRecipe(await structured.invoke(world.question));
});

test('the errors', async () => {
  for (const [status, code, fields] of [
    [401, 'invalid_api_key', { model, apiKey: 'mr-wrong' }],
    [404, 'model_not_found', { model: 'gpt-none' }],
  ]) {
    const error = await world.caught(() => new ChatOpenAI(fields).invoke(world.question));
    assert.equal(error.status, status);
    assert.equal(error.code, code);
  }
});

test('an empty budget is not tried again', async () => {
  const error = await world.deniedOnce(() => new ChatOpenAI({ model, apiKey: world.poorKey }).invoke(world.question));
  assert.equal(error.status, 402);
  assert.equal(error.code, 'budget_exhausted');
});

test('a rate limit is tried again, and told where the client does not want that', async () => {
  const hurried = new ChatOpenAI({ model, apiKey: world.hurriedKey });
  await world.retriedUntilServed(() => hurried.invoke(world.question));
  const impatient = new ChatOpenAI({ model, apiKey: world.hurriedKey, maxRetries: 0 });
  const error = await world.caught(async () => {
    for (;;) await impatient.invoke(world.question);
  });
  assert.equal(error.status, 429);
});

test('a stream that is aborted', async () => {
  const controller = new AbortController();
  let seen = 0;
  await world.caught(async () => {
    for await (const chunk of await client.stream(world.slowly, { signal: controller.signal })) {
      assert.ok(chunk);
      if (++seen === 3) controller.abort();
    }
    throw controller.signal.reason;
  });
  assert.ok(controller.signal.aborted && seen < 100);
});
