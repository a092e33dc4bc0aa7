// Drawing of a heat map over its prepared image, after keras_dr/core/overlay.py.

import { roundHalfEven, toByte } from "./numbers.ts";
import type { Picture } from "./picture.ts";

export const OPACITY = 0.6; // at the hottest point
// RGB at 0, 1/2 and 1: blues that grow lighter, unlike an orange fundus and yellow exudates
export const STOPS = [
  [16, 16, 96],
  [0, 92, 230],
  [40, 225, 255],
] as const;
export const COLOURS = Uint8Array.from({ length: 3 * 256 }, (_, index) => {
  const place = (2 * Math.floor(index / 3)) / 255;
  const stop = Math.min(Math.floor(place), 1);
  const channel = index % 3;
  return roundHalfEven(STOPS[stop][channel] + (place - stop) * (STOPS[stop + 1][channel] - STOPS[stop][channel]));
});

/** Evidence for one class: float32, row by row. */
export interface HeatMap {
  readonly values: Float32Array;
  readonly width: number;
  readonly height: number;
}

/** Divides positive evidence by its maximum; zeros if there is none. */
export function normalise(map: HeatMap): HeatMap {
  const positive = map.values.map((value) => Math.max(value, 0));
  const peak = positive.reduce((largest, value) => Math.max(largest, value), 0);
  return { ...map, values: peak > 0 ? positive.map((value) => value / peak) : positive };
}

/** Where each of `size` pixels lies between two values of a heat map, and the share of the second one. */
interface Axis {
  readonly first: Int32Array;
  readonly second: Int32Array;
  readonly share: Float32Array;
}

function axisOf(length: number, size: number): Axis {
  const first = new Int32Array(size);
  const second = new Int32Array(size);
  const share = new Float32Array(size);
  for (let index = 0; index < size; index++) {
    const at = (index + 0.5) * (length / size) - 0.5;
    const below = Math.floor(at);
    first[index] = Math.max(0, Math.min(below, length - 1));
    second[index] = Math.max(0, Math.min(below + 1, length - 1));
    share[index] = below < 0 || below >= length - 1 ? 0 : at - below;
  }
  return { first, second, share };
}

/** Enlarges a heat map by bilinear interpolation to `size` squared. */
export function enlarge(map: HeatMap, size: number): Float32Array {
  const columns = axisOf(map.width, size);
  const rows = axisOf(map.height, size);
  const lines = new Float32Array(map.height * size); // enlarged along its rows
  for (let y = 0; y < map.height; y++) {
    for (let x = 0; x < size; x++) {
      const left = map.values[y * map.width + columns.first[x]];
      const right = map.values[y * map.width + columns.second[x]];
      lines[y * size + x] = left * (1 - columns.share[x]) + right * columns.share[x];
    }
  }
  const result = new Float32Array(size * size);
  for (let y = 0; y < size; y++) {
    const upper = rows.first[y] * size;
    const lower = rows.second[y] * size;
    const share = rows.share[y];
    for (let x = 0; x < size; x++) result[y * size + x] = lines[upper + x] * (1 - share) + lines[lower + x] * share;
  }
  return result;
}

/**
 * Returns the colours of a heat map as RGBA bytes, more opaque where it is hotter; the black surround is transparent.
 *
 * @param image the prepared image
 * @param map evidence of any scale
 * @param opacity at the hottest point, 0..1
 */
export function heatLayer(image: Picture, map: HeatMap, opacity = OPACITY): Uint8ClampedArray<ArrayBuffer> {
  const heat = enlarge(normalise(map), image.width);
  const layer = new Uint8ClampedArray(4 * heat.length);
  const { pixels } = image;
  for (let pixel = 0; pixel < heat.length; pixel++) {
    const from = 3 * pixel;
    const to = 4 * pixel;
    const level = 3 * toByte(255 * heat[pixel]);
    layer[to] = COLOURS[level];
    layer[to + 1] = COLOURS[level + 1];
    layer[to + 2] = COLOURS[level + 2];
    const isBlack = pixels[from] === 0 && pixels[from + 1] === 0 && pixels[from + 2] === 0;
    layer[to + 3] = isBlack ? 0 : 255 * opacity * heat[pixel];
  }
  return layer;
}
