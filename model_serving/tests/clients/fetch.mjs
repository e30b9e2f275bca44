// Asks by Node's fetch. node fetch.mjs URL FOLDER; prints a line for each answer: what was sent, status, body.
import { createReadStream, readFileSync } from "node:fs";

const [url, folder] = process.argv.slice(2);

async function ask(name, body) {
  const headers = { "Content-Type": "application/json" };
  const answer = await fetch(`${url}/inference`, { method: "POST", headers, body, duplex: "half" });
  console.log(name, answer.status, await answer.text());
}

for (const name of ["small", "small", "small", "thousand", "huge"]) {
  await ask(name, readFileSync(`${folder}/${name}`));
}
await ask("small", createReadStream(`${folder}/small`)); // in chunks
