// What openai-node gets, as one JSON object. Address and key: OPENAI_BASE_URL, OPENAI_API_KEY.
import OpenAI, { APIError } from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

const client = new OpenAI({ maxRetries: 0 });
const model = "demo";
const messages = [{ role: "user", content: "What is the capital of France?" }];
const City = z.object({ name: z.enum(["Paris", "Rome"]), capital: z.boolean() });
const tools = [{ type: "function", function: { name: "weather", strict: true, parameters: {
  type: "object", properties: { city: { enum: ["Paris", "Rome"] } }, required: ["city"], additionalProperties: false } } }];
const refused = (call) => call.then(() => "accepted", (error) => [error.constructor.name, error.status, error.code]);

const whole = await client.chat.completions.create({ model, messages });
const stream = client.chat.completions.stream({ model, messages, stream_options: { include_usage: true } });
const streamed = await stream.finalChatCompletion();
const parsed = await client.chat.completions.parse({ model, messages, response_format: zodResponseFormat(City, "city") });
const called = await client.chat.completions.create({ model, messages, tools, tool_choice: "required" });
const response = await client.responses.create({ model, input: messages });
const responseParsed = await client.responses.parse({ model, input: messages, text: { format: zodTextFormat(City, "city") } });
const events = [];
for await (const event of await client.responses.create({ model, input: messages, stream: true })) events.push(event.type);
const ran = await client.chat.completions.runTools({ model, messages, tool_choice: { type: "function", function: { name: "weather" } }, tools: [{
  type: "function", function: { ...tools[0].function, parse: JSON.parse, function: ({ city }) => `Sunny in ${city}.` } }] },
  { maxChatCompletions: 1 }).finalFunctionToolCallResult();
const embedded = await client.embeddings.create({ model: "all-minilm-l6-v2", input: ["tea", "cups"] });
const names = [];
for await (const each of client.models.list()) names.push(each.id);

console.log(JSON.stringify({
  whole: whole.choices[0].message.content, streamed: streamed.choices[0].message.content,
  usage: [whole.usage.total_tokens, streamed.usage.total_tokens],
  parsed: parsed.choices[0].message.parsed, responseParsed: responseParsed.output_parsed,
  called: called.choices[0].message.tool_calls[0].function, ran,
  response: response.output_text, events,
  embedded: embedded.data.map((each) => each.embedding.length), models: names,
  refused: {
    model: await refused(client.chat.completions.create({ model: "other", messages })),
    form: await refused(client.chat.completions.create({ model, messages, temperature: 9 })),
    key: await refused(client.withOptions({ apiKey: "none" }).models.list()),
  },
}));
