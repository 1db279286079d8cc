// Prints types/api.d.ts: the JSON of requests and responses as TypeScript, from the OpenAPI document.
import { readFileSync } from "node:fs";

const openapi = JSON.parse(readFileSync(new URL("../../../docs/openapi.json", import.meta.url), "utf8"));
const NULLABLE = "null";

/** Return the TypeScript type of a JSON Schema. */
function typeOf(schema, indent) {
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.enum) return union(schema.enum.map((value) => JSON.stringify(value)));
  const parts = schema.anyOf ?? schema.oneOf;
  // Bounds of a number are no types.
  if (parts && !(parts.every((part) => !part.type && !part.$ref && !part.enum) && schema.type)) {
    return union(parts.map((part) => typeOf(part, indent)));
  }
  if (Array.isArray(schema.type)) return union(schema.type.map((type) => typeOf({ ...schema, type }, indent)));
  switch (schema.type) {
    case "string": return "string";
    case "integer":
    case "number": return "number";
    case "boolean": return "boolean";
    case NULLABLE: return "null";
    case "array": return schema.items ? `${bracketed(typeOf(schema.items, indent))}[]` : "unknown[]";
    case "object": return objectOf(schema, indent);
    default: return "unknown";
  }
}

function union(types) {
  return [...new Set(types)].join(" | ");
}

function bracketed(type) {
  return type.includes(" ") ? `(${type})` : type;
}

function objectOf(schema, indent) {
  if (!schema.properties) {
    const values = schema.additionalProperties;
    return `{ [name: string]: ${values && values !== true ? typeOf(values, indent) : "unknown"} }`;
  }
  const inner = `${indent}  `;
  const required = new Set(schema.required ?? []);
  const lines = Object.entries(schema.properties).map(([name, property]) => {
    const key = /^[A-Za-z_]\w*$/.test(name) ? name : JSON.stringify(name);
    const text = property.description ? `${inner}/** ${property.description.replaceAll("*/", "* /")} */\n` : "";
    return `${text}${inner}${key}${required.has(name) ? "" : "?"}: ${typeOf(property, inner)};`;
  });
  return `{\n${lines.join("\n")}\n${indent}}`;
}

console.log("// Made by scripts/api-types.js from docs/openapi.json: npm run types.\n");
for (const [name, schema] of Object.entries(openapi.components.schemas)) {
  const text = schema.description ? `/** ${schema.description.replaceAll("*/", "* /")} */\n` : "";
  console.log(`${text}export type ${name} = ${typeOf(schema, "")};\n`);
}
