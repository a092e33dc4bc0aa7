// Quality and colours of a prepared photograph, after keras_dr/core/quality.py, which gives the sources.

import type { Picture } from "./picture.ts";

export const MEASURES = ["coverage", "illumination", "contrast", "sharpness"] as const;
export const COLOURS = ["red_to_green", "blue_to_green"] as const;

export type Measures = Readonly<Record<string, number>>;
/** Measure -> its lowest and highest usual value. */
export type Limits = Readonly<Record<string, readonly [number, number]>>;

const REASONS = [
  ["coverage", 0, "cut off"],
  ["illumination", 0, "dark"],
  ["illumination", 1, "bright"],
  ["contrast", 0, "flat"],
  ["sharpness", 0, "blurred"],
] as const;
const UNFAMILIAR = [
  ["red_to_green", 0, "less red"],
  ["red_to_green", 1, "redder"],
  ["blue_to_green", 0, "less blue"],
  ["blue_to_green", 1, "bluer"],
] as const;

/**
 * Returns the measures and the colours, rounded to four decimals as Python writes them.
 *
 * @param image cropped to the fundus, not enhanced
 * @param inside 1 in the circle of the fundus
 */
export function measure(image: Picture, inside: Uint8Array): Measures {
  const { pixels, width: size } = image;
  const lit = litPixels(pixels, inside);
  const litCount = count(lit);
  if (litCount === 0) return Object.fromEntries([...MEASURES, ...COLOURS].map((name) => [name, 0]));
  const luma = lumaOf(pixels);
  const core = erode(lit, size, Math.max(3, Math.floor(size / 16)) | 1);
  const sharp = variance(laplacian(luma, size), count(core) > 0 ? core : lit);
  const light = variance(luma, lit);
  const mean = Math.max(light.mean, 1 / 255);
  const colours = [0, 1, 2].map((channel) => sumOf(pixels, lit, channel) / litCount);
  const greenMean = Math.max(colours[1], 1 / 255);
  const measures: Record<string, number> = {
    coverage: litCount / count(inside),
    illumination: mean,
    contrast: Math.sqrt(light.variance) / mean,
    sharpness: (1000 * sharp.variance) / mean ** 2,
    red_to_green: colours[0] / greenMean,
    blue_to_green: colours[2] / greenMean,
  };
  return Object.fromEntries(Object.entries(measures).map(([name, value]) => [name, Number(value.toFixed(4))]));
}

function count(mask: Uint8Array): number {
  let sum = 0;
  for (const value of mask) sum += value;
  return sum;
}

function sumOf(pixels: Uint8Array, mask: Uint8Array, channel: number): number {
  let sum = 0;
  for (let pixel = 0; pixel < mask.length; pixel++) if (mask[pixel]) sum += pixels[3 * pixel + channel];
  return sum;
}

/** Returns 1 where the brightest channel exceeds a tenth of its 95th percentile in the circle. */
function litPixels(pixels: Uint8Array, inside: Uint8Array): Uint8Array {
  const brightest = new Uint8Array(inside.length);
  const counts = new Uint32Array(256); // of the levels in the circle
  let total = 0;
  for (let pixel = 0; pixel < inside.length; pixel++) {
    const level = Math.max(pixels[3 * pixel], pixels[3 * pixel + 1], pixels[3 * pixel + 2]);
    brightest[pixel] = level;
    total += inside[pixel];
    counts[level] += inside[pixel];
  }
  const rank = 0.95 * (total - 1);
  const below = Math.floor(rank);
  const lower = levelAt(counts, below);
  const upper = levelAt(counts, Math.min(below + 1, total - 1));
  const limit = 0.1 * (lower + (upper - lower) * (rank - below));
  const lit = new Uint8Array(inside.length);
  for (let pixel = 0; pixel < lit.length; pixel++) lit[pixel] = inside[pixel] && brightest[pixel] > limit ? 1 : 0;
  return lit;
}

/** Returns the level at a place in the sorted levels, given how often each level occurs. */
function levelAt(counts: Uint32Array, place: number): number {
  let level = 0;
  for (let sum = counts[0]; sum <= place; sum += counts[level]) level++;
  return level;
}

/** Returns luma 0..1 (Rec. ITU-R BT.601) in OpenCV's fixed point. */
function lumaOf(pixels: Uint8Array): Float32Array {
  const luma = new Float32Array(pixels.length / 3);
  for (let pixel = 0; pixel < luma.length; pixel++) {
    const sum = pixels[3 * pixel] * 9798 + pixels[3 * pixel + 1] * 19235 + pixels[3 * pixel + 2] * 3735;
    luma[pixel] = ((sum + 16384) >> 15) / 255;
  }
  return luma;
}

/** Erodes by a square; pixels outside the image count as dark. */
function erode(mask: Uint8Array, size: number, side: number): Uint8Array {
  const half = side >> 1;
  const rows = new Uint8Array(mask.length);
  const result = new Uint8Array(mask.length);
  for (let y = 0; y < size; y++) {
    let run = 0;
    for (let x = 0; x < size; x++) {
      run = mask[y * size + x] ? run + 1 : 0;
      if (run >= side) rows[y * size + x - half] = 1;
    }
  }
  const runs = new Uint16Array(size);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      runs[x] = rows[y * size + x] ? runs[x] + 1 : 0;
      if (runs[x] >= side) result[(y - half) * size + x] = 1;
    }
  }
  return result;
}

/** Returns the sum of the four neighbours minus four times the pixel; the border is mirrored (BORDER_REFLECT_101). */
function laplacian(luma: Float32Array, size: number): Float32Array {
  const result = new Float32Array(luma.length);
  for (let y = 0; y < size; y++) {
    const row = y * size;
    const upper = y === 0 ? size : row - size;
    const lower = y === size - 1 ? row - size : row + size;
    for (let x = 0; x < size; x++) {
      const left = x === 0 ? 1 : x - 1;
      const right = x === size - 1 ? x - 1 : x + 1;
      const sides = luma[row + left] + luma[row + right];
      result[row + x] = luma[upper + x] + luma[lower + x] + sides - 4 * luma[row + x];
    }
  }
  return result;
}

function variance(values: Float32Array, mask: Uint8Array): { mean: number; variance: number } {
  let total = 0;
  let sum = 0;
  for (let index = 0; index < values.length; index++) {
    if (!mask[index]) continue;
    total++;
    sum += values[index];
  }
  const mean = sum / total;
  let squares = 0;
  for (let index = 0; index < values.length; index++) if (mask[index]) squares += (values[index] - mean) ** 2;
  return { mean, variance: squares / total };
}

/** The words of all faults, and the measure and the side (0 for lower, 1 for upper) of each. */
export const FAULTS = REASONS.map(([, , fault]) => fault);

/**
 * Returns the faults of a photograph, such as "dark", which is unusual, and "too blurred to grade".
 *
 * limits: measure -> its lowest and highest usual value; null: the photograph is not compared with those of the training.
 * gradability: fault -> value of its measure beyond which the grader fails; a fault may be absent.
 */
export function faultsOf(measures: Measures, limits: Limits | null, gradability: Measures): string[] {
  const unusual = limits ? beyond(measures, limits, REASONS) : [];
  const faults = [];
  for (const [name, side, fault] of REASONS) {
    const limit = gradability[fault];
    const poor = limit !== undefined && (side === 1 ? measures[name] > limit : measures[name] < limit);
    if (poor) faults.push(`too ${fault} to grade`);
    else if (unusual.includes(fault)) faults.push(fault);
  }
  return faults;
}

/** Returns how colours differ from those of the training photographs, such as "redder". */
export function unfamiliar(measures: Measures, limits: Limits): string[] {
  return beyond(measures, limits, UNFAMILIAR);
}

function beyond(
  measures: Measures,
  limits: Limits,
  words: readonly (readonly [string, 0 | 1, string])[],
): string[] {
  const isBeyond = ([name, side]: readonly [string, 0 | 1, string]): boolean => {
    return side === 1 ? measures[name] > limits[name][1] : measures[name] < limits[name][0];
  };
  return words.filter(isBeyond).map(([, , word]) => word);
}
