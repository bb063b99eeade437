// Writes zod_models.jsonl: npm install zod@4.6.7 && node zod_models.mjs > zod_models.jsonl
import { z } from "zod";

const texts = {
  string: z.string(), short: z.string().max(12), named: z.string().min(2).max(20), exact: z.string().length(5),
  regex: z.string().regex(/^[A-Z]{2}-\d{3}$/), unanchored: z.string().regex(/[0-9]+/).max(10), starts: z.string().startsWith("x_"),
  ends: z.string().endsWith(".txt"), includes: z.string().includes("-").max(10), lower: z.string().lowercase().max(8), upper: z.string().uppercase().max(8),
  email: z.email(), url: z.url(), uuid: z.uuid(), guid: z.guid(), cuid2: z.cuid2(), ulid: z.ulid(), nanoid: z.nanoid(), base64: z.base64(),
  ipv4: z.ipv4(), ipv6: z.ipv6(), cidr: z.cidrv4(), date: z.iso.date(), time: z.iso.time(), datetime: z.iso.datetime(), duration: z.iso.duration(),
  offset: z.iso.datetime({ offset: true }), hex: z.hex().max(8), phone: z.e164(), hostname: z.hostname(),
};
const numbers = {
  number: z.number(), unit: z.number().min(0).max(1), positive: z.number().positive().max(10), negative: z.number().negative(), int: z.int(),
  range: z.int().min(1).max(6), between: z.number().gt(0).lt(100), step: z.number().multipleOf(0.5).min(0).max(5), seven: z.int().multipleOf(7).min(0).max(100),
  int32: z.int32(), uint32: z.uint32(), nonnegative: z.number().nonnegative(),
};
const Color = z.enum(["red", "green", "blue"]);
const Address = z.object({ street: z.string().max(12), zip: z.string().regex(/^\d{5}$/) });
const Tree = z.object({ value: z.int().min(0).max(9), get children() { return z.array(Tree).max(2); } });
const List = z.object({ head: z.boolean(), get tail() { return List.nullable(); } });
const Json = z.lazy(() => z.union([z.string().max(4), z.number(), z.boolean(), z.null(), z.array(Json), z.record(z.string(), Json)]));
const Circle = z.object({ kind: z.literal("circle"), radius: z.number().positive() });
const Square = z.object({ kind: z.literal("square"), side: z.number().positive() });
const others = {
  bool: z.boolean(), nil: z.null(), literal: z.literal("on"), literals: z.literal(["a", 1, null]), color: Color, native: z.enum({ A: "a", B: "b" }),
  nullable: z.string().max(5).nullable(), nullish: z.int().nullish(), unknown: z.unknown(), any: z.any(),
  array: z.array(z.int().min(0).max(9)), few: z.array(Color).min(1).max(3), exactly: z.array(z.boolean()).length(2), nonempty: z.array(z.string().max(3)).nonempty(),
  tuple: z.tuple([z.string().max(4), z.int()]), rest: z.tuple([z.boolean()]).rest(z.null()), nested: z.array(z.array(z.boolean()).max(2)).max(2),
  record: z.record(z.string(), z.int().min(0).max(9)), byname: z.record(Color, z.boolean()), partial: z.partialRecord(Color, z.boolean()),
  keyed: z.record(z.string().regex(/^[a-z]{2}$/), z.boolean()), union: z.union([z.boolean(), z.string().max(4)]), ranges: z.union([z.int().min(0).max(5), z.int().min(3).max(9)]),
  discriminated: z.discriminatedUnion("kind", [Circle, Square]), intersection: z.intersection(z.object({ a: z.boolean() }), z.object({ b: z.int() })),
  strict: z.strictObject({ a: z.boolean() }), loose: z.looseObject({ a: z.boolean() }), catchall: z.object({ a: z.boolean() }).catchall(z.int()),
  optional: z.object({ a: z.boolean().optional(), b: z.int().optional() }), defaulted: z.object({ a: z.boolean().default(true) }), empty: z.object({}),
  extended: Address.extend({ country: z.string().length(2) }), picked: Address.pick({ zip: true }), partly: Address.partial(), merged: Address.and(z.object({ floor: z.int() })),
  described: z.object({ a: z.boolean().describe("yes or no") }).meta({ title: "Described" }), template: z.templateLiteral(["v", z.int().min(0)]),
  tree: Tree, list: List, json: Json, readonly: z.array(z.boolean()).readonly(), brand: z.string().max(4).brand("X"), pipe: z.string().max(4).pipe(z.string().min(1)),
  person: z.object({ name: z.string().max(12), age: z.int().min(0).max(130), email: z.email(), tags: z.array(Color).max(2), home: Address.nullable() }),
  homes: z.object({ first: Address, second: Address }), deep: z.object({ a: z.object({ b: z.object({ c: z.object({ d: z.boolean() }) }) }) }),
  event: z.object({ id: z.uuid(), at: z.iso.datetime(), level: z.enum(["info", "warn"]), payload: z.record(z.string(), z.boolean()) }),
  shapes: z.object({ shapes: z.array(z.discriminatedUnion("kind", [Circle, Square])).max(2) }), wide: z.object(Object.fromEntries([..."abcdefghijkl"].map((name) => [name, z.boolean()]))),
  choice: z.object({ choice: z.union([z.object({ a: z.boolean() }), z.object({ b: z.boolean() })]) }), maybe: z.object({ maybe: z.optional(z.nullable(Color)) }),
  stringbool: z.object({ value: z.union([z.literal("yes"), z.literal("no")]) }), set: z.object({ set: z.array(Color).max(3).meta({ uniqueItems: true }) }),
  password: z.object({ password: z.string().min(4).max(8).regex(/^(?=.*[a-z])(?=.*[0-9])[a-z0-9]+$/) }),
};
const rows = [];
for (const group of [texts, numbers]) for (const [name, schema] of Object.entries(group)) rows.push([name, z.object({ [name]: schema })]);
for (const [name, schema] of Object.entries(others)) rows.push([name, schema]);
const older = ["tuple", "rest", "person", "discriminated", "record", "tree", "intersection"]; // as the AI SDK asks for
for (const name of older) console.log(JSON.stringify({ name: `${name}, draft 7`, schema: z.toJSONSchema(others[name], { target: "draft-7" }) }));
for (const [name, schema] of rows) console.log(JSON.stringify({ name, schema: z.toJSONSchema(schema) }));
