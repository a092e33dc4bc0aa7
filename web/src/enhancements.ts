// The enhancements of keras_dr/core/preprocessing.py, in OpenCV's arithmetic.

import { equalise } from "./clahe.ts";
import { fromLab, toLab } from "./lab.ts";
import { roundHalfEven, toByte } from "./numbers.ts";
import { reflected, type Picture } from "./picture.ts";

const { fround } = Math;

/** Emphasises green: .1 R + .8 G + .1 B on all three channels. */
function green(image: Picture): Picture {
  const share = { red: fround(0.1), green: fround(0.8), blue: fround(0.1) };
  const source = image.pixels;
  const pixels = new Uint8Array(source.length);
  for (let place = 0; place < source.length; place += 3) {
    // OpenCV fuses two of the three multiplications with the addition after them, so that their products are not rounded
    const redAndGreen = fround(source[place] * share.red + fround(source[place + 1] * share.green));
    pixels.fill(toByte(fround(redAndGreen + source[place + 2] * share.blue)), place, place + 3);
  }
  return { ...image, pixels };
}

/** Subtracts the local mean: 4 I - 4 G(I) + 128, G Gaussian of sigma S/30. */
function benGraham(image: Picture): Picture {
  const mean = gaussianBlur(image, image.height / 30);
  const pixels = image.pixels.map((value, place) => {
    return Math.max(0, Math.min(255, 4 * (value - mean[place]) + 128));
  });
  return { ...image, pixels };
}

/** The weights of a Gaussian in 256ths, which add up to 256: OpenCV's getGaussianKernelFixedPoint_ED. */
function gaussianWeights(sigma: number): Int32Array {
  const size = roundHalfEven(sigma * 3 * 2 + 1) | 1;
  const half = size >> 1;
  const plain = Array.from({ length: size }, (_, index) => Math.exp((-0.5 / sigma ** 2) * (index - half) ** 2));
  const sum = plain.reduce((total, value) => total + value, 0);
  const weights = new Array<number>(size).fill(0);
  let error = 0; // what rounding has added so far is taken from the next weight
  let used = 0;
  for (let index = 0; index < half; index++) {
    const exact = (plain[index] / sum) * 256 + error;
    const rounded = roundHalfEven(exact);
    error = exact - rounded;
    weights[index] = rounded;
    weights[size - 1 - index] = rounded;
    used += 2 * rounded;
  }
  weights[half] = 256 - used;
  return Int32Array.from(weights);
}

/** Returns the pixels after cv2.GaussianBlur, which adds whole numbers of 1/256 along rows, then along columns. */
function gaussianBlur({ pixels, width, height }: Picture, sigma: number): Uint8Array {
  const weights = gaussianWeights(sigma);
  const half = weights.length >> 1;
  const rows = new Int32Array(pixels.length);
  const columns = Int32Array.from({ length: width + 2 * half }, (_, index) => 3 * reflected(index - half, width));
  for (let y = 0; y < height; y++) {
    const start = 3 * y * width;
    for (let x = 0; x < width; x++) {
      let red = 0;
      let green = 0;
      let blue = 0;
      for (let index = 0; index < weights.length; index++) {
        const from = start + columns[x + index];
        red += weights[index] * pixels[from];
        green += weights[index] * pixels[from + 1];
        blue += weights[index] * pixels[from + 2];
      }
      rows.set([red, green, blue], start + 3 * x);
    }
  }
  const result = new Uint8Array(pixels.length);
  const sum = new Int32Array(width * 3);
  for (let y = 0; y < height; y++) {
    sum.fill(32768);
    for (let index = 0; index < weights.length; index++) {
      const start = reflected(y + index - half, height) * width * 3;
      for (let place = 0; place < sum.length; place++) sum[place] += weights[index] * rows[start + place];
    }
    for (let place = 0; place < sum.length; place++) result[y * width * 3 + place] = sum[place] >> 16;
  }
  return result;
}

/** Applies contrast-limited adaptive histogram equalisation to L in CIE Lab. */
function clahe(image: Picture): Picture {
  const lab = toLab(image);
  const light = new Uint8Array(image.width * image.height);
  for (let pixel = 0; pixel < light.length; pixel++) light[pixel] = lab[3 * pixel];
  equalise(light, image.width, image.height).forEach((level, pixel) => {
    lab[3 * pixel] = level;
  });
  return { ...image, pixels: fromLab(lab) };
}

/** Name -> enhancement. */
export const ENHANCEMENTS: Readonly<Record<string, (image: Picture) => Picture>> = {
  clahe,
  green,
  "ben-graham": benGraham,
};
