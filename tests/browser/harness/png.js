// Makes pictures of screens small: 256 colours are enough for flat areas and text, and compress to a third.

import { crc32 } from "./crc32.js";
import { deflateSync, inflateSync } from "node:zlib";

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
const COLOURS_MAX = 256;

function chunk(type, data) {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  sum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, sum]);
}

function* chunks(png) {
  for (let at = SIGNATURE.length; at < png.length; ) {
    const length = png.readUInt32BE(at);
    yield { type: png.toString("latin1", at + 4, at + 8), data: png.subarray(at + 8, at + 8 + length) };
    at += 12 + length;
  }
}

/** The predictor of PNG: whichever neighbour is nearest to left + up - both. */
function paeth(left, up, both) {
  const guess = left + up - both;
  const [a, b, c] = [Math.abs(guess - left), Math.abs(guess - up), Math.abs(guess - both)];
  if (a <= b && a <= c) return left;
  return b <= c ? up : both;
}

const PREDICT = [() => 0, (left) => left, (_, up) => up, (left, up) => (left + up) >> 1, paeth];

/** Undoes the filters of each line; the answer has the pixels alone. */
function unfilter(data, height, line, step) {
  const pixels = Buffer.alloc(height * line);
  for (let y = 0; y < height; y += 1) {
    const predict = PREDICT[data[y * (line + 1)]];
    for (let x = 0; x < line; x += 1) {
      const at = y * line + x;
      const left = x >= step ? pixels[at - step] : 0;
      const up = y > 0 ? pixels[at - line] : 0;
      const both = x >= step && y > 0 ? pixels[at - line - step] : 0;
      pixels[at] = data[y * (line + 1) + 1 + x] + predict(left, up, both);
    }
  }
  return pixels;
}

const distance = (one, other) => ((one >> 16) - (other >> 16)) ** 2 + (((one >> 8) & 255) - ((other >> 8) & 255)) ** 2 + ((one & 255) - (other & 255)) ** 2;

/** The same picture with at most 256 colours: those that are seen most, and for the others the nearest of them. */
export function small(png) {
  const parts = [...chunks(png)];
  const head = parts.find(({ type }) => type === "IHDR").data;
  const [width, height, depth, kind, interlaced] = [head.readUInt32BE(0), head.readUInt32BE(4), head[8], head[9], head[12]];
  const step = { 2: 3, 6: 4 }[kind];
  if (depth !== 8 || !step || interlaced) throw new Error("only pictures of 8 bits a colour are known here");
  const packed = Buffer.concat(parts.filter(({ type }) => type === "IDAT").map(({ data }) => data));
  const pixels = unfilter(inflateSync(packed), height, width * step, step);

  const colourAt = (at) => (pixels[at] << 16) | (pixels[at + 1] << 8) | pixels[at + 2];
  const seen = new Map();
  for (let at = 0; at < pixels.length; at += step) seen.set(colourAt(at), (seen.get(colourAt(at)) ?? 0) + 1);
  const palette = [...seen].sort(([, a], [, b]) => b - a).slice(0, COLOURS_MAX).map(([colour]) => colour);
  const nearest = new Map(palette.map((colour, index) => [colour, index]));
  const indexOf = (colour) => {
    if (!nearest.has(colour)) nearest.set(colour, palette.reduce((best, own, index) => (distance(own, colour) < distance(palette[best], colour) ? index : best), 0));
    return nearest.get(colour);
  };

  const lines = Buffer.alloc(height * (width + 1));
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) lines[y * (width + 1) + 1 + x] = indexOf(colourAt((y * width + x) * step));
  }
  const newHead = Buffer.from(head);
  newHead[9] = 3;
  const colours = Buffer.from(palette.flatMap((colour) => [colour >> 16, (colour >> 8) & 255, colour & 255]));
  return Buffer.concat([SIGNATURE, chunk("IHDR", newHead), chunk("PLTE", colours), chunk("IDAT", deflateSync(lines, { level: 9 })), chunk("IEND", Buffer.alloc(0))]);
}
