// k6 run -e URL=… -e FOLDER=… load.js: a moment of load, every answer looked at.
import { check } from "k6";
import http from "k6/http";

const body = open(`${__ENV.FOLDER}/small`);

export const options = { vus: 2, duration: "2s", thresholds: { checks: ["rate==1"] } };

export default function () {
  const answer = http.post(`${__ENV.URL}/inference`, body, { headers: { "Content-Type": "application/json" } });
  check(answer, { answered: (one) => one.status === 200 && one.json("prediction") !== null });
}
