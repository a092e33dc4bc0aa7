// Contrast-limited adaptive histogram equalisation (K. Zuiderveld, Graphics Gems IV, 1994), in the single precision and
// the order of OpenCV on x86-64: keras_dr/core/exact.py.

import { roundHalfEven, toByte } from "./numbers.ts";
import { reflected } from "./picture.ts";

const { fround } = Math;
const TILES = 8;
const CLIP_LIMIT = 2;
const LEVELS = 256;

/** Equalises light, one byte a pixel, in 8 x 8 tiles. */
export function equalise(light: Uint8Array, width: number, height: number): Uint8Array {
  // OpenCV pads both sides if one of them cannot be divided
  const isPadded = width % TILES !== 0 || height % TILES !== 0;
  const tileWidth = isPadded ? Math.floor(width / TILES) + 1 : width / TILES;
  const tileHeight = isPadded ? Math.floor(height / TILES) + 1 : height / TILES;
  const tables = new Float32Array(TILES * TILES * LEVELS);
  for (let row = 0; row < TILES; row++) {
    for (let column = 0; column < TILES; column++) {
      const counts = new Int32Array(LEVELS);
      for (let y = row * tileHeight; y < (row + 1) * tileHeight; y++) {
        const start = reflected(y, height) * width;
        for (let x = column * tileWidth; x < (column + 1) * tileWidth; x++) counts[light[start + reflected(x, width)]]++;
      }
      tables.set(tableOf(counts, tileWidth * tileHeight), (row * TILES + column) * LEVELS);
    }
  }
  return interpolate(light, width, tables, neighbours(width, tileWidth), neighbours(height, tileHeight));
}

/** Returns the new level of each level: whole numbers. */
function tableOf(counts: Int32Array, pixels: number): Float32Array {
  const limit = Math.max(Math.trunc((CLIP_LIMIT * pixels) / LEVELS), 1);
  let surplus = 0;
  for (let level = 0; level < LEVELS; level++) {
    if (counts[level] <= limit) continue;
    surplus += counts[level] - limit;
    counts[level] = limit;
  }
  const share = Math.floor(surplus / LEVELS);
  const rest = surplus - share * LEVELS;
  for (let level = 0; level < LEVELS; level++) counts[level] += share;
  if (rest > 0) {
    const step = Math.max(Math.floor(LEVELS / rest), 1);
    for (let number = 0; number < rest && number * step < LEVELS; number++) counts[number * step]++;
  }
  const scale = fround((LEVELS - 1) / pixels);
  const table = new Float32Array(LEVELS);
  let sum = 0;
  for (let level = 0; level < LEVELS; level++) {
    sum += counts[level];
    table[level] = roundHalfEven(fround(sum * scale));
  }
  return table;
}

/** The tiles before and after each pixel of a side, and how far the pixel is from the first to the second. */
interface Neighbours {
  readonly before: Int32Array;
  readonly after: Int32Array;
  readonly share: Float32Array;
}

function neighbours(length: number, tile: number): Neighbours {
  const before = new Int32Array(length);
  const after = new Int32Array(length);
  const share = new Float32Array(length);
  const inverse = fround(1 / tile);
  for (let pixel = 0; pixel < length; pixel++) {
    const position = fround(fround(pixel * inverse) - 0.5);
    const first = Math.floor(position);
    before[pixel] = Math.max(first, 0);
    after[pixel] = Math.min(first + 1, TILES - 1);
    share[pixel] = position - first;
  }
  return { before, after, share };
}

function interpolate(light: Uint8Array, width: number, tables: Float32Array, across: Neighbours, down: Neighbours): Uint8Array {
  const result = new Uint8Array(light.length);
  for (let place = 0; place < light.length; place++) {
    const x = place % width;
    const y = (place - x) / width;
    const level = light[place];
    const left = across.before[x] * LEVELS + level;
    const right = across.after[x] * LEVELS + level;
    const above = down.before[y] * TILES * LEVELS;
    const under = down.after[y] * TILES * LEVELS;
    const upper = mix(tables[above + left], tables[above + right], across.share[x]);
    const lower = mix(tables[under + left], tables[under + right], across.share[x]);
    result[place] = toByte(mix(upper, lower, down.share[y]));
  }
  return result;
}

function mix(first: number, second: number, share: number): number {
  return fround(fround(first * fround(1 - share)) + fround(second * share));
}
