// Converts samples of sixteen bits to eight, with the same shift for all photographs of a set: keras_dr/core/samples.py.

import { KerasDrError } from "./errors.ts";
import type { Picture } from "./picture.ts";
import type { Samples } from "./png.ts";

export const DEPTHS = [8, 10, 12, 14, 16];
const UNDECIDED = 0;

/** Returns the smallest depth in which a value from 0 to 65535 can be stored. */
function depthOf(largest: number): number {
  return DEPTHS.find((bits) => largest < 2 ** bits)!;
}

/**
 * Returns RGB of eight bits; transparent pixels are blended with black.
 *
 * @param samples as the file holds them
 * @param bits how many bits of sixteen are used; 0: as the metadata says; null: the upper eight are kept
 * @param sampleBits how many bits of sixteen the metadata says are used; 0 if it does not say so
 */
export function toPicture(samples: Samples, bits: number | null, sampleBits: number): Picture {
  const { values, width, height, channels } = samples;
  let shift = 0;
  let alphaShift = 0;
  if (values instanceof Uint16Array) {
    shift = (bits === null ? 16 : usedBits(samples, bits, sampleBits)) - 8;
    alphaShift = 8;
  }
  const pixels = new Uint8Array(width * height * 3);
  for (let pixel = 0; pixel < width * height; pixel++) {
    const from = pixel * channels;
    const alpha = channels === 4 ? values[from + 3] >> alphaShift : 255;
    for (let colour = 0; colour < 3; colour++) {
      const value = values[channels === 1 ? from : from + colour] >> shift;
      pixels[3 * pixel + colour] = alpha === 255 ? value : Math.floor((value * alpha + 127) / 255);
    }
  }
  return { pixels, width, height };
}

function usedBits({ values, channels }: Samples, bits: number, sampleBits: number): number {
  let largest = 0;
  values.forEach((value, index) => {
    if (value > largest && (channels !== 4 || index % 4 !== 3)) largest = value;
  });
  if (sampleBits === 16) return 16;
  if (bits === UNDECIDED && (sampleBits || largest >= 1 << 14)) return depthOf(Math.max(largest, 2 ** sampleBits - 1));
  const remedy = "Save it with 8 bits per sample first.";
  if (bits === UNDECIDED) {
    const problem =
      `The file holds 16-bit samples of at most ${largest}, which fit ${depthOf(largest)} bits. It may be dark or ` +
      "use only these bits; this is unknown, because no photograph of the training set had 16 bits.";
    throw new KerasDrError(problem, remedy);
  }
  if (largest >= 2 ** bits) {
    const problem = `The file holds a sample of ${largest}, more than the ${bits} bits that the set's photographs use.`;
    throw new KerasDrError(problem, remedy);
  }
  return bits;
}
