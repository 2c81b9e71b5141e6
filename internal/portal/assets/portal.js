// What runs in the browser: the buttons that copy, and the playground. Without it the pages show everything all the same.

function enableCopying() {
  for (const button of document.querySelectorAll('[data-copy], [data-copy-from]')) {
    const label = button.firstChild;
    button.hidden = !navigator.clipboard; // Browsers have it only where the connection is trusted.
    button.addEventListener('click', async () => {
      const from = document.getElementById(button.dataset.copyFrom);
      let said = 'Copied';
      try {
        await navigator.clipboard.writeText(from ? from.textContent : button.dataset.copy);
      } catch {
        said = 'Not allowed';
      }
      label.data = said;
      setTimeout(() => { label.data = 'Copy'; }, 2000);
    });
  }
}

// events reads server-sent events and gives the data of each.
async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split('\n');
    rest = lines.pop();
    for (const line of lines) {
      if (line.startsWith('data:')) yield line.slice('data:'.length).trim();
    }
  }
}

// failure says what an answer's error is, or that there is none that can be read.
async function failure(answer) {
  try {
    return `${answer.status}: ${(await answer.json()).error.message}`;
  } catch {
    return `The answer is ${answer.status} ${answer.statusText}.`;
  }
}

function cost(usage) {
  if (!usage) return 'Done.';
  const tokens = `Done: ${usage.prompt_tokens} tokens in, ${usage.completion_tokens} out`;
  return typeof usage.cost === 'number' ? `${tokens}, $${usage.cost.toFixed(9).replace(/0{1,7}$/, '')}.` : `${tokens}.`;
}

// ask streams one answer into show, and returns what is to be said of it.
async function ask(form, key, prompt, show, signal) {
  const answer = await fetch(`${form.dataset.api}/chat/completions`, {
    // In a cluster the cookie says who asks. Whoever signs people in would have us go to a page of theirs, with the key: they are to refuse.
    method: 'POST', signal, credentials: 'same-origin', redirect: 'error',
    headers: { 'X-Api-Key': key, 'Content-Type': 'application/json', Accept: 'text/event-stream, application/json' },
    body: JSON.stringify({
      model: form.dataset.model, stream: true, stream_options: { include_usage: true },
      messages: [{ role: 'user', content: prompt }],
    }),
  });
  if (!answer.ok) return failure(answer);
  let usage;
  for await (const data of events(answer.body)) {
    if (data === '[DONE]') break;
    const chunk = JSON.parse(data);
    if (chunk.error) return chunk.error.message;
    usage = chunk.usage ?? usage;
    show(chunk.choices?.[0]?.delta?.content ?? '');
  }
  return cost(usage);
}

function enablePlayground() {
  const form = document.getElementById('playground-form');
  if (!form) return;
  const get = (part) => document.getElementById(`playground-${part}`);
  const [key, prompt, stop, answer, status] = ['key', 'prompt', 'stop', 'answer', 'status'].map(get);
  const send = form.querySelector('button:not([type])');
  get('section').hidden = false;
  form.addEventListener('submit', async (event) => {
    event.preventDefault(); // The key goes nowhere but into the request's header.
    const control = new AbortController();
    stop.onclick = () => control.abort();
    [send.disabled, stop.disabled] = [true, false];
    answer.textContent = '';
    status.textContent = 'Asking…';
    try {
      status.textContent = await ask(form, key.value.trim(), prompt.value, (text) => { answer.append(text); }, control.signal);
    } catch (error) {
      status.textContent = control.signal.aborted ? 'Stopped. What was answered until then is paid for.' : `It failed: ${error.message}`;
    }
    [send.disabled, stop.disabled] = [false, true];
  });
}

enableCopying();
enablePlayground();
