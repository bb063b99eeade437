// What Vercel's AI SDK gets, as one JSON object, over its OpenAI-compatible and its Anthropic provider.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const baseURL = process.env.OPENAI_BASE_URL, apiKey = process.env.OPENAI_API_KEY;
const compatible = createOpenAICompatible({ name: "sluice", baseURL, apiKey, includeUsage: true, supportsStructuredOutputs: true });
const models = { openai: compatible("demo"), anthropic: createAnthropic({ baseURL, apiKey })("demo") };
const weather = tool({ description: "The weather in a city.", inputSchema: z.object({ city: z.string() }), execute: ({ city }) => `Sunny in ${city}.` });
const schema = z.object({ name: z.string(), inhabitants: z.number().int() });

async function tried(model) {
  const asked = { model, prompt: "What is the weather in 'Rome'?", maxRetries: 0 };
  const answer = await generateText({ ...asked, prompt: "What is the capital of France?" });
  const used = await generateText({ ...asked, tools: { weather }, stopWhen: stepCountIs(3) });
  const stream = streamText({ ...asked, tools: { weather }, stopWhen: stepCountIs(3) });
  let streamed = "";
  for await (const piece of stream.textStream) streamed += piece;
  const typed = await generateObject({ ...asked, prompt: "Describe 'Rome' with 5 inhabitants.", schema });
  const usage = await stream.totalUsage;
  return { answer: answer.text, used: used.text, steps: used.steps.length, streamed, typed: typed.object, usage: [usage.inputTokens, usage.outputTokens] };
}

const got = {};
for (const [name, model] of Object.entries(models)) got[name] = await tried(model);
console.log(JSON.stringify(got));
