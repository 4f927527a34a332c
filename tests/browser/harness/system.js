// What runs in the thread of a backend: a real HTTP server that does what backend.js tells it.

import { once } from "node:events";
import { createServer } from "node:http";
import { parentPort, workerData } from "node:worker_threads";

/** @typedef {"well" | "failing" | "refusing" | "off"} Fault */

const { name, requests } = workerData;
const own = { fault: "off", at: null, fields: null, moment: "" };
let port = 0;

const server = createServer(answer);
server.keepAliveTimeout = 60_000;

function answer(request, response) {
  request.resume();
  if (request.url !== "/health") Atomics.add(requests, 0, 1);
  const fault = own.at && !own.at.test(request.url) ? "well" : own.fault;
  const status = { failing: 500, refusing: 422 }[fault] ?? 200;
  const body = own.fields ? JSON.stringify({ [own.moment]: new Date(Date.now() + Math.random() * 1e9), ...own.fields }) : `${name}\n`;
  response.writeHead(status, { "Content-Type": own.fields ? "application/json" : "text/plain", "Content-Length": Buffer.byteLength(body) });
  response.end(body);
}

/** Takes connections, on the port that it had before where it had one, or refuses them. */
async function serve(serves) {
  if (serves === server.listening) return;
  if (serves) {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    port = server.address().port;
  } else {
    server.close();
    server.closeAllConnections();
    await once(server, "close");
  }
}

parentPort.on("message", async (change) => {
  Object.assign(own, change);
  await serve(own.fault !== "off");
  parentPort.postMessage(port);
});
