// Drawing of a heat map over its prepared image, after keras_dr/core/overlay.py.

import { roundHalfEven } from "./numbers.ts";
import type { Picture } from "./picture.ts";

export const OPACITY = 0.6; // at the hottest point
// RGB at 0, 1/2 and 1: blues that grow lighter, unlike an orange fundus and yellow exudates
const STOPS = [
  [16, 16, 96],
  [0, 92, 230],
  [40, 225, 255],
] as const;
const COLOURS = Uint8Array.from({ length: 3 * 256 }, (_, index) => {
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

/** Enlarges a heat map by bilinear interpolation to `size` squared. */
export function enlarge(map: HeatMap, size: number): Float32Array {
  const columns = Array.from({ length: size }, (_, index) => place(index, map.width, size));
  const rows = Array.from({ length: size }, (_, index) => place(index, map.height, size));
  const result = new Float32Array(size * size);
  for (let y = 0; y < size; y++) {
    const row = rows[y];
    for (let x = 0; x < size; x++) {
      const column = columns[x];
      const along = (line: number): number => {
        const start = line * map.width;
        return (1 - column.share) * map.values[start + column.first] + column.share * map.values[start + column.second];
      };
      result[y * size + x] = (1 - row.share) * along(row.first) + row.share * along(row.second);
    }
  }
  return result;
}

function place(index: number, length: number, size: number): { first: number; second: number; share: number } {
  const at = (index + 0.5) * (length / size) - 0.5;
  const below = Math.floor(at);
  if (below < 0) return { first: 0, second: 0, share: 0 };
  if (below >= length - 1) return { first: length - 1, second: length - 1, share: 0 };
  return { first: below, second: below + 1, share: Math.fround(at - below) };
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
  heat.forEach((value, pixel) => {
    const { pixels } = image;
    const isBlack = pixels[3 * pixel] === 0 && pixels[3 * pixel + 1] === 0 && pixels[3 * pixel + 2] === 0;
    const level = 3 * Math.round(255 * value);
    layer.set(COLOURS.subarray(level, level + 3), 4 * pixel);
    layer[4 * pixel + 3] = isBlack ? 0 : 255 * opacity * value;
  });
  return layer;
}
