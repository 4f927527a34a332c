// What the dashboard weighs: every file that its pages load, as it goes over the wire.

import { readdirSync } from "node:fs";
import { get } from "node:http";
import { join } from "node:path";

import { PAGES } from "./places.js";
import { ROOT } from "./router.js";

/** What an answer weighs as it is sent, and how it is sent. */
function weigh(url) {
  return new Promise((resolve, reject) => {
    get(url, { headers: { "Accept-Encoding": "gzip" } }, (answer) => {
      let bytes = 0;
      answer.on("data", (piece) => {
        bytes += piece.length;
      });
      answer.on("end", () => resolve({ bytes, headers: answer.headers, status: answer.statusCode }));
    }).on("error", reject);
  });
}

/** Visits all pages, and gives each file that they load with its weight, and each that they might load later; all pages are the same document. */
export async function weights(profile) {
  const urls = new Set([profile.url]);
  const tab = await profile.tab();
  tab.page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.pathname.startsWith("/ui/")) urls.add(url.href);
  });
  await tab.go("/");
  await tab.signIn("admin");
  for (const path of PAGES) await tab.show(path);
  // What a page asks for last it may not have asked for yet.
  const names = readdirSync(join(ROOT, "dashboards/ui"), { recursive: true }).filter((name) => /\.(js|css|svg)$/.test(name));
  for (const name of names) urls.add(`${profile.url}/ui/${name}`);
  const weighed = await Promise.all([...urls].map(async (url) => ({ url, ...(await weigh(url)) })));
  return weighed.map((one) => ({ ...one, path: new URL(one.url).pathname }));
}
