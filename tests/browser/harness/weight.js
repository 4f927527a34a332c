// What the dashboard weighs: every file that its pages load, as it goes over the wire.

import { get } from "node:http";

import { PAGES } from "./places.js";

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

/** Visits all pages, and gives each file that they load with its weight; all pages are the same document. */
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
  const weighed = await Promise.all([...urls].map(async (url) => ({ url, ...(await weigh(url)) })));
  return weighed.map((one) => ({ ...one, path: new URL(one.url).pathname }));
}
