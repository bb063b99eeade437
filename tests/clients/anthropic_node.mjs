// What Anthropic's SDK gets, as one JSON object. Address and key: ANTHROPIC_BASE_URL, ANTHROPIC_API_KEY.
import Anthropic from "@anthropic-ai/sdk";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { z } from "zod";

const client = new Anthropic({ maxRetries: 0 });
const asked = { model: "demo", max_tokens: 100, messages: [{ role: "user", content: "What is the capital of France?" }] };
const tools = [{ name: "weather", input_schema: { type: "object", properties: { city: { enum: ["Paris", "Rome"] } }, required: ["city"] } }];
const refused = (call) => call.then(() => "accepted", (error) => [error.constructor.name, error.status]);

const whole = await client.messages.create(asked);
const streamed = await client.messages.stream(asked).finalMessage();
const called = await client.messages.stream({ ...asked, tools, tool_choice: { type: "any" } }).finalMessage();
const parsed = await client.messages.parse({ ...asked, output_config: { format: zodOutputFormat(z.object({ name: z.enum(["Paris", "Rome"]) })) } });
const counted = await client.messages.countTokens({ model: asked.model, messages: asked.messages });
const names = [];
for await (const each of client.models.list()) names.push(each.id);

console.log(JSON.stringify({
  whole: whole.content[0].text, streamed: streamed.content[0].text,
  usage: [whole.usage, streamed.usage].map((each) => [each.input_tokens, each.output_tokens]), counted: counted.input_tokens,
  called: called.content.at(-1), reason: called.stop_reason, parsed: parsed.parsed_output, models: names,
  refused: {
    model: await refused(client.messages.create({ ...asked, model: "other" })),
    form: await refused(client.messages.create({ ...asked, max_tokens: 0 })),
    key: await refused(client.withOptions({ apiKey: "none" }).messages.create(asked)),
  },
}));
