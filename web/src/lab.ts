// RGB to CIE Lab and back, each of 8 bits, in OpenCV's whole-number arithmetic (cv2.COLOR_RGB2LAB, cv2.COLOR_LAB2RGB).

import { roundHalfEven } from "./numbers.ts";
import type { Picture } from "./picture.ts";

const { fround } = Math;
// Rec. ITU-R BT.709 primaries with the white point D65: XYZ of R, G, B, and back
const TO_XYZ = [0.412453, 0.35758, 0.180423, 0.212671, 0.71516, 0.072169, 0.019334, 0.119193, 0.950227];
const FROM_XYZ = [3.240479, -1.53715, -0.498535, -0.969256, 1.875991, 0.041556, 0.055648, -0.204043, 1.057311];
const WHITE = [0.950456, 1, 1.088754];
const MATRIX_BITS = 12;
const LINEAR = 2040; // linear light 1: 255 x 8
const ROOT_BITS = 15; // cube roots are stored in units of 2^-15
const UNIT = 1 << 14; // 1 on the way back
const GAMMA_SIZE = 1 << 12; // steps of linear light on the way back
const SMALLEST = -8145; // of the cube roots of X and Z on the way back

const gamma = (level: number): number => (level <= 0.04045 ? level / 12.92 : ((level + 0.055) / 1.055) ** 2.4);
const inverseGamma = (light: number): number => (light <= 0.0031308 ? 12.92 * light : 1.055 * light ** (1 / 2.4) - 0.055);
// CIE 15: the cube root, and a straight line below 216/24389; in single precision, as OpenCV computes it
const root = (light: number): number => fround(light < 216 / 24389 ? (light * 841) / 108 + 16 / 116 : Math.cbrt(light));

const table = (size: number, valueAt: (index: number) => number): Int32Array => {
  return Int32Array.from({ length: size }, (_, index) => roundHalfEven(valueAt(index)));
};
const LINEAR_OF = table(256, (level) => LINEAR * gamma(level / 255));
const ROOT_OF = table((LINEAR * 3) / 2 + 12, (light) => (1 << ROOT_BITS) * root(fround(light * fround(1 / LINEAR))));
ROOT_OF[324] = 17745; // it is 17745.5 in single precision, and slightly less by OpenCV's approximation of the cube root
const LEVEL_OF = table(GAMMA_SIZE, (light) => 255 * inverseGamma(light / GAMMA_SIZE));
const TO = table(9, (index) => (TO_XYZ[index] / WHITE[Math.floor(index / 3)]) * (1 << MATRIX_BITS));
const FROM = table(9, (index) => FROM_XYZ[index] * WHITE[index % 3] * (1 << MATRIX_BITS));
const isLinear = (light: number): boolean => light <= 20; // L up to 8, on the scale 0..255
const Y_OF = table(256, (light) => {
  const lightness = (100 * light) / 255;
  return UNIT * (isLinear(light) ? (lightness * 27) / 24389 : ((lightness + 16) / 116) ** 3);
});
const ROOT_OF_Y = table(256, (light) => {
  const lightness = (100 * light) / 255;
  return UNIT * (isLinear(light) ? 16 / 116 + ((lightness * 27) / 24389) * (841 / 108) : (lightness + 16) / 116);
});
const CUBE_OF = Int32Array.from({ length: (UNIT * 9) / 4 }, (_, index) => {
  const value = index + SMALLEST;
  if (value > 3390) return Math.trunc((Math.trunc((value * value) / UNIT) * value) / UNIT);
  return Math.trunc((value * 108) / 841) - Math.floor((Math.floor((UNIT * 16) / 116) * 108) / 841);
});

/** Divides by a power of two and rounds, halves upwards. */
function descale(value: number, bits: number): number {
  return (value + (1 << (bits - 1))) >> bits;
}

function limited(value: number, largest: number): number {
  return value < 0 ? 0 : value > largest ? largest : value;
}

/** Returns L, a and b, three bytes a pixel, of RGB. */
export function toLab({ pixels }: Picture): Uint8Array {
  const result = new Uint8Array(pixels.length);
  const scale = Math.floor((116 * 255 + 50) / 100);
  const offset = Math.floor((16 * 255 * (1 << ROOT_BITS) + 50) / 100);
  const middle = 128 << ROOT_BITS;
  for (let place = 0; place < pixels.length; place += 3) {
    const red = LINEAR_OF[pixels[place]];
    const green = LINEAR_OF[pixels[place + 1]];
    const blue = LINEAR_OF[pixels[place + 2]];
    const x = ROOT_OF[descale(red * TO[0] + green * TO[1] + blue * TO[2], MATRIX_BITS)];
    const y = ROOT_OF[descale(red * TO[3] + green * TO[4] + blue * TO[5], MATRIX_BITS)];
    const z = ROOT_OF[descale(red * TO[6] + green * TO[7] + blue * TO[8], MATRIX_BITS)];
    result[place] = limited(descale(scale * y - offset, ROOT_BITS), 255);
    result[place + 1] = limited(descale(500 * (x - y) + middle, ROOT_BITS), 255);
    result[place + 2] = limited(descale(200 * (y - z) + middle, ROOT_BITS), 255);
  }
  return result;
}

/** Returns RGB of L, a and b. */
export function fromLab(lab: Uint8Array): Uint8Array {
  const result = new Uint8Array(lab.length);
  const bits = MATRIX_BITS + 2; // 14 bits of light become 12
  const offsetA = Math.floor((128 * UNIT) / 500);
  const offsetB = Math.floor((128 * UNIT) / 200) - 1;
  for (let place = 0; place < lab.length; place += 3) {
    const y = Y_OF[lab[place]];
    const middle = ROOT_OF_Y[lab[place]];
    const across = ((5 * lab[place + 1] * 53687 + 128) >> 13) - offsetA; // a / 500 in units of 2^-14
    const down = ((lab[place + 2] * 41943 + 16) >> 9) - offsetB; // b / 200
    const x = CUBE_OF[middle + across - SMALLEST];
    const z = CUBE_OF[middle - down - SMALLEST];
    for (let colour = 0; colour < 3; colour++) {
      const sum = FROM[3 * colour] * x + FROM[3 * colour + 1] * y + FROM[3 * colour + 2] * z;
      result[place + colour] = LEVEL_OF[limited(descale(sum, bits), GAMMA_SIZE - 1)];
    }
  }
  return result;
}
