// OpenAI's SDK, which finds base URL and key in the environment.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI from 'openai';
import * as world from './world.mjs';

const client = new OpenAI();
const messages = [{ role: 'user', content: world.question }];
const { model } = world;
const tools = [{ type: 'function', function: world.weather }];

test('a plain answer', async () => {
  const answer = await client.chat.completions.create({ model, messages });
  assert.ok(answer.choices[0].message.content);
  assert.ok(answer.usage.total_tokens > 0);
  assert.equal(answer.choices[0].finish_reason, 'stop');
});

test('a streamed answer', async () => {
  let text = '';
  for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
    assert.equal(chunk.choices.length, 1, 'usage that was not asked for must not come');
    text += chunk.choices[0].delta.content ?? '';
  }
  assert.ok(text);
});

test('a streamed answer with its usage', async () => {
  const stream = client.chat.completions.stream({ model, messages, stream_options: { include_usage: true } });
  const answer = await stream.finalChatCompletion();
  assert.ok(answer.choices[0].message.content);
  assert.ok((await stream.totalUsage()).total_tokens > 0);
});

test('tools over several turns, plain and streamed', async () => {
  const asked = [{ role: 'user', content: world.weatherQuestion }];
  const plain = await client.chat.completions.create({ model, messages: asked, tools });
  const streamed = await client.chat.completions.stream({ model, messages: asked, tools }).finalChatCompletion();
  for (const turn of [plain, streamed]) {
    const { message } = turn.choices[0];
    const [call] = message.tool_calls;
    assert.equal(call.function.name, 'get_weather');
    assert.equal(typeof JSON.parse(call.function.arguments).city, 'string');
    const { role, content, tool_calls } = message;
    const told = [...asked, { role, content, tool_calls }, { role: 'tool', tool_call_id: call.id, content: '{"sky":"clear"}' }];
    const end = await client.chat.completions.create({ model, messages: told, tools });
    assert.ok(end.choices[0].message.content);
  }
});

test('the runner of tools', async () => {
  const cities = [];
  const tool = { type: 'function', function: { ...world.weather, parse: JSON.parse, function: ({ city }) => (cities.push(city), 'clear') } };
  const runner = client.chat.completions.runTools({ model, messages: [{ role: 'user', content: world.weatherQuestion }], tools: [tool] });
  assert.ok(await runner.finalContent());
  assert.equal(cities.length, 1);
});

test('a structured answer', async () => {
  const response_format = { type: 'json_schema', json_schema: { name: 'recipe', strict: true, schema: world.recipe } };
  const answer = await client.chat.completions.parse({ model, messages, response_format });
  world.isRecipe(answer.choices[0].message.parsed ?? JSON.parse(answer.choices[0].message.content));
});

test('a completion of texts, plain and streamed', async () => {
  const prompt = ['Once upon a time', 'In the beginning'];
  const plain = await client.completions.create({ model, prompt, n: 2, max_tokens: 20 });
  assert.deepEqual(plain.choices.map(({ index }) => index), [0, 1, 2, 3]);
  assert.ok(plain.choices.every(({ text }) => text));
  assert.ok(plain.usage.completion_tokens > 0);
  const texts = ['', ''];
  let usage;
  const stream = await client.completions.create({ model, prompt, max_tokens: 20, stream: true, stream_options: { include_usage: true } });
  for await (const chunk of stream) {
    for (const { index, text } of chunk.choices) texts[index] += text;
    usage = chunk.usage ?? usage;
  }
  assert.ok(texts.every((text) => text));
  assert.ok(usage.completion_tokens > 0);
});

test('a completion without a limit is as long as it is by the reference', async () => {
  const { usage, choices } = await client.completions.create({ model, prompt: 'Tell me a very long story. [[fault: answer=400]]' });
  assert.equal(usage.completion_tokens, 16);
  assert.equal(choices[0].finish_reason, 'length');
});

test('embeddings, which the SDK asks for in base64', async () => {
  const one = await client.embeddings.create({ model, input: 'The food was delicious.' });
  assert.equal(one.data[0].embedding.length, 1536);
  assert.ok(one.usage.prompt_tokens > 0);
  const two = await client.embeddings.create({ model, input: ['one', 'two'], dimensions: 8, encoding_format: 'float' });
  assert.deepEqual(two.data.map(({ embedding }) => embedding.length), [8, 8]);
});

test('the models', async () => {
  const names = [];
  for await (const one of client.models.list()) names.push(one.id);
  assert.deepEqual(names, [model]);
  assert.equal((await client.models.retrieve(model)).object, 'model');
});

test('the error classes', async () => {
  const wrong = new OpenAI({ apiKey: 'mr-wrong' });
  const unauthorized = await world.caught(() => wrong.chat.completions.create({ model, messages }));
  assert.ok(unauthorized instanceof OpenAI.AuthenticationError);
  assert.equal(unauthorized.code, 'invalid_api_key');

  const unknown = await world.caught(() => client.chat.completions.create({ model: 'gpt-none', messages }));
  assert.ok(unknown instanceof OpenAI.NotFoundError);
  assert.equal(unknown.code, 'model_not_found');
  assert.equal(unknown.param, 'model');

  const bad = await world.caught(() => client.chat.completions.create({ model, messages, stop: ['a', 'b', 'c', 'd', 'e'] }));
  assert.ok(bad instanceof OpenAI.BadRequestError);
  assert.equal(bad.param, 'stop');

  const many = await world.caught(() => client.completions.create({ model, prompt: 'Once', best_of: 2, stream: true }));
  assert.ok(many instanceof OpenAI.BadRequestError);
  assert.equal(many.param, 'best_of');

  const nothing = await world.caught(() => client.embeddings.create({ model, input: '' }));
  assert.ok(nothing instanceof OpenAI.BadRequestError);
  assert.equal(nothing.param, 'input');

  const content = 'Hello. [[fault: error-chunk=2]]';
  const broken = await world.caught(async () => {
    const stream = await client.chat.completions.create({ model, messages: [{ role: 'user', content }], stream: true, max_tokens: 50 });
    for await (const chunk of stream) assert.ok(chunk);
  });
  assert.ok(broken instanceof OpenAI.APIError);
});

test('an empty budget is not tried again', async () => {
  const poor = new OpenAI({ apiKey: world.poorKey });
  for (const stream of [false, true]) {
    const error = await world.deniedOnce(() => poor.chat.completions.create({ model, messages, stream }));
    assert.ok(error instanceof OpenAI.APIError);
    assert.equal(error.status, 402);
    assert.equal(error.code, 'budget_exhausted');
    assert.equal(error.type, 'insufficient_quota');
  }
  for (const call of [() => poor.completions.create({ model, prompt: 'Once' }), () => poor.embeddings.create({ model, input: 'Once' })]) {
    assert.equal((await world.deniedOnce(call)).code, 'budget_exhausted');
  }
});

test('a rate limit is tried again, and told where the client does not want that', async () => {
  const hurried = new OpenAI({ apiKey: world.hurriedKey });
  await world.retriedUntilServed(() => hurried.chat.completions.create({ model, messages }));
  const impatient = new OpenAI({ apiKey: world.hurriedKey, maxRetries: 0 });
  const error = await world.caught(async () => {
    for (;;) await impatient.chat.completions.create({ model, messages });
  });
  assert.ok(error instanceof OpenAI.RateLimitError);
  assert.equal(error.code, 'rate_limit_exceeded');
});

test('a stream that is aborted', async () => {
  const stream = await client.chat.completions.create({ model, messages: [{ role: 'user', content: world.slowly }], stream: true });
  let seen = 0;
  for await (const chunk of stream) {
    assert.ok(chunk);
    if (++seen === 3) stream.controller.abort();
  }
  assert.ok(seen < 100);
});
