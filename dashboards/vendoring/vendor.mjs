// Copies the modules that the dashboard uses from node_modules to ../ui/vendor, and writes their hashes.
//
// Why not an import map: it would be an inline script, which the dashboard's policy forbids. So bare specifiers
// ("preact") become relative ones ("./preact.js") here, and nothing else of a module is changed but the pointer to a
// source map that is not shipped. uPlot ships no small module, so its small script gets the one line that exports it.
//
//   npm run vendor   from the pinned lock file
//   npm run check    whether ../ui/vendor is what manifest.json says; needs no node_modules

import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const target = join(here, "..", "ui", "vendor");
const MANIFEST = "manifest.json";

/** The name of a file in vendor/, and where it comes from. */
const FILES = [
  { name: "preact.js", of: "preact", from: "dist/preact.mjs" },
  { name: "preact-hooks.js", of: "preact", from: "hooks/dist/hooks.mjs" },
  { name: "signals-core.js", of: "@preact/signals-core", from: "dist/signals-core.mjs" },
  { name: "signals.js", of: "@preact/signals", from: "dist/signals.mjs" },
  { name: "htm.js", of: "htm", from: "dist/htm.mjs" },
  { name: "uplot.js", of: "uplot", from: "dist/uPlot.iife.min.js", append: "export default uPlot;\n" },
  { name: "uplot.css", of: "uplot", from: "dist/uPlot.min.css" },
  { name: "LICENSE-preact.txt", of: "preact", from: "LICENSE" },
  { name: "LICENSE-preact-signals.txt", of: "@preact/signals", from: "LICENSE" },
  { name: "LICENSE-preact-signals-core.txt", of: "@preact/signals-core", from: "LICENSE" },
  { name: "LICENSE-htm.txt", of: "htm", from: "LICENSE" },
  { name: "LICENSE-uplot.txt", of: "uplot", from: "LICENSE" },
];

/** Bare specifiers, and the file of vendor/ that each means. */
const SPECIFIERS = {
  "preact": "./preact.js",
  "preact/hooks": "./preact-hooks.js",
  "@preact/signals-core": "./signals-core.js",
};

const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

function adapted(text, file) {
  const relative = text.replace(/(\bfrom\s*|\bimport\s*)"([^".][^"]*)"/g, (whole, keyword, specifier) => {
    const known = SPECIFIERS[specifier];
    if (!known) throw new Error(`${file.of} imports "${specifier}", which is not vendored`);
    return `${keyword}"${known}"`;
  });
  const bare = relative.replace(/\n?\/\/# sourceMappingURL=\S+\s*$/, "").trimEnd();
  return `${bare}\n${file.append ?? ""}`;
}

function vendor() {
  rmSync(target, { recursive: true, force: true });
  mkdirSync(target, { recursive: true });
  const files = {};
  for (const file of FILES) {
    const folder = join(here, "node_modules", file.of);
    const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const original = readFileSync(join(folder, file.from), "utf8");
    const text = file.name.endsWith(".js") ? adapted(original, file) : `${original.trimEnd()}\n`;
    writeFileSync(join(target, file.name), text);
    files[file.name] = { package: file.of, version, license, source: file.from, sha256: sha256(text), source_sha256: sha256(original) };
  }
  writeFileSync(join(target, MANIFEST), `${JSON.stringify({ files }, null, 2)}\n`);
  console.log(`${FILES.length} files in ${target}`);
}

function check() {
  const { files } = JSON.parse(readFileSync(join(target, MANIFEST), "utf8"));
  const present = readdirSync(target).filter((name) => name !== MANIFEST);
  const wrong = [
    ...present.filter((name) => !files[name]).map((name) => `${name} is not in the manifest`),
    ...Object.keys(files).filter((name) => !present.includes(name)).map((name) => `${name} is missing`),
    ...present.filter((name) => files[name] && sha256(readFileSync(join(target, name))) !== files[name].sha256)
      .map((name) => `${name} is not what the manifest says`),
  ];
  for (const line of wrong) console.error(line);
  process.exitCode = wrong.length ? 1 : 0;
}

if (process.argv.includes("--check")) check();
else vendor();
