// Asks by Node's http. node http.mjs URL FOLDER; prints a line for each answer: what was sent, status, body.
import { readFileSync } from "node:fs";
import { Agent, request } from "node:http";

const [url, folder] = process.argv.slice(2);
const agent = new Agent({ keepAlive: true });

function ask(name, more, sent) {
  const headers = { "Content-Type": "application/json", ...more };
  return new Promise((resolve, reject) => {
    const asking = request(`${url}/inference`, { method: "POST", agent, headers }, (answer) => {
      let said = "";
      answer.setEncoding("utf-8").on("data", (part) => (said += part));
      answer.on("end", () => resolve(console.log(name, answer.statusCode, said)));
    });
    // an answer before all is sent, and then an end, is an error to whoever waits for the sending
    asking.on("error", (error) => (asking.res ? undefined : reject(error)));
    sent(asking, readFileSync(`${folder}/${name}`));
  });
}

const whole = (asking, body) => asking.end(body);
const parts = (asking, body) => (asking.write(body.subarray(0, 5)), asking.end(body.subarray(5)));
const length = (name) => ({ "Content-Length": readFileSync(`${folder}/${name}`).length });

for (const name of ["small", "small", "small", "thousand", "huge"]) {
  await ask(name, length(name), whole);
}
await ask("small", {}, parts); // in chunks
await ask("small", { ...length("small"), Expect: "100-continue" }, (asking, body) =>
  asking.on("continue", () => asking.end(body)).flushHeaders(),
);
agent.destroy();
