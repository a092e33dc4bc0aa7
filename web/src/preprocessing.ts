// The one definition of how a photograph becomes the model's input, after keras_dr/core/preprocessing.py. A test holds
// the two equal byte for byte.

import { decodeRgb, readHeader, type Header } from "./decoding.ts";
import { ENHANCEMENTS } from "./enhancements.ts";
import { KerasDrError } from "./errors.ts";
import { examine, findFundus, scaled, THUMBNAIL, type Finding, type Fundus } from "./fundus.ts";
import type { JpegDecoder } from "./jpeg.ts";
import { roundHalfEven } from "./numbers.ts";
import { resizeArea, resizeLinear, resizeLinearExact, type Picture } from "./picture.ts";
import { DEPTHS } from "./samples.ts";

const COPY_SIDE = 64;

/** The settings, as bundle.json stores them; see `Preprocessing` in Python. */
export interface Preprocessing {
  readonly size: number;
  readonly enhance: string;
  readonly fundus: "auto" | "none";
  readonly stretch: boolean;
  readonly bits: number | null;
}

/** A decoded photograph; see `Photograph` in Python. */
export interface Photograph {
  readonly picture: Picture;
  readonly reduction: number;
  readonly fundus: Fundus | null;
  readonly stretched: boolean;
  readonly several: boolean;
}

interface Size {
  readonly width: number;
  readonly height: number;
}

/** Reads and checks the settings in a bundle; keys that older versions lack have the values that these used. */
export function readPreprocessing(values: Readonly<Record<string, unknown>>): Preprocessing {
  const { size, enhance, fundus = "auto", stretch = false, page = "first", bits = null } = values;
  const remedy = "Write the site again with keras-dr web.";
  const refuse = (key: string, value: unknown): never => {
    throw new KerasDrError(`The setting ${key} in bundle.json is ${JSON.stringify(value)}, which is unknown.`, remedy);
  };
  if (typeof size !== "number" || !Number.isInteger(size) || size < 28 || size > 1024) return refuse("size", size);
  if (typeof enhance !== "string") return refuse("enhance", enhance);
  const parts = enhance.split("+");
  if (parts.some((name) => name !== "none" && !(name in ENHANCEMENTS))) return refuse("enhance", enhance);
  if (fundus !== "auto" && fundus !== "none") return refuse("fundus", fundus);
  if (typeof stretch !== "boolean") return refuse("stretch", stretch);
  if (page !== "first" && page !== "largest") return refuse("page", page);
  const isDepth = bits === null || (typeof bits === "number" && [0, ...DEPTHS].includes(bits));
  if (!isDepth) return refuse("bits", bits);
  return { size, enhance, fundus, stretch, bits: bits as number | null };
}

/** Decodes a photograph at the scale that the input needs, stretches it if it was squashed, and finds its fundus. */
export async function readPhotograph(decoder: JpegDecoder, data: Uint8Array, spec: Preprocessing): Promise<Photograph> {
  const header = readHeader(data);
  const size = Math.max(spec.size, COPY_SIDE);
  const crops = spec.fundus === "auto";
  const decode = (factor: number): Promise<Picture> => decodeRgb(decoder, data, factor, header, spec.bits);
  const shorter = Math.min(header.height, header.width);
  const longer = Math.max(header.height, header.width);
  let reduction = findReduction(header, crops ? shorter : longer, size);
  let picture = await decode(reduction);
  const finding: Finding = crops ? examine(picture) : { fundus: null, widen: 1, heighten: 1, several: false };
  let { fundus } = finding;
  const shape: Size = reduction > 1 ? header : picture;
  let stretched = spec.stretch ? stretchedSize(shape, finding) : null;
  if (stretched) {
    const wider = stretch(picture, stretched, reduction);
    const round = findFundus(wider);
    if (round) {
      picture = wider;
      fundus = round;
    } else {
      stretched = null;
    }
  }
  if (reduction > 1 && fundus && 2 * fundus.radius < size) {
    reduction = findReduction(header, 2 * fundus.radius * reduction, size);
    picture = await decode(reduction);
    if (stretched) picture = stretch(picture, stretched, reduction);
    fundus = findFundus(picture);
  }
  return {
    picture,
    reduction,
    fundus: fundus && scaled(fundus, reduction),
    stretched: stretched !== null,
    several: finding.several,
  };
}

/** Returns the size of a squashed photograph after stretching; null if it was not squashed. */
function stretchedSize(shape: Size, finding: Finding): Size | null {
  const height = roundHalfEven(shape.height * finding.heighten);
  const width = roundHalfEven(shape.width * finding.widen);
  return height === shape.height && width === shape.width ? null : { width, height };
}

function stretch(picture: Picture, full: Size, reduction: number): Picture {
  return resizeLinearExact(picture, Math.ceil(full.width / reduction), Math.ceil(full.height / reduction));
}

/** Returns the largest reduction that leaves `size` pixels of `width`, and enough for the thumbnail of the fundus. */
function findReduction(header: Header, width: number, size: number): number {
  const longest = Math.max(header.height, header.width);
  const possible = header.reductions.filter((factor) => width >= size * factor && longest >= THUMBNAIL * factor);
  return Math.max(1, ...possible);
}

/** Crops, resizes and enhances a photograph: the model's input, RGB of `spec.size` squared. */
export function preparePhotograph(photograph: Photograph, spec: Preprocessing): Picture {
  const { fundus, reduction } = photograph;
  let image = cropSquare(photograph.picture, fundus && scaled(fundus, 1 / reduction), spec.size);
  for (const name of spec.enhance.split("+")) {
    if (name !== "none") image = ENHANCEMENTS[name](image);
  }
  return fundus ? blackened(image) : image;
}

/** Crops a picture to the square around the fundus, pads it with black, and resizes it by area. */
export function cropSquare(picture: Picture, fundus: Fundus | null, size: number): Picture {
  if (!fundus) return letterbox(picture, size);
  const side = Math.max(1, roundHalfEven(2 * fundus.radius));
  const left = roundHalfEven(fundus.x + 0.5 - side / 2);
  const top = roundHalfEven(fundus.y + 0.5 - side / 2);
  const square = paste(picture, side, -left, -top);
  return side >= size ? resizeArea(square, size, size) : resizeLinear(square, size, size);
}

/** Resizes the whole photograph, and pads it to a square. */
function letterbox(picture: Picture, size: number): Picture {
  const scale = size / Math.max(picture.width, picture.height);
  const width = Math.max(1, roundHalfEven(picture.width * scale));
  const height = Math.max(1, roundHalfEven(picture.height * scale));
  const strip = scale <= 1 ? resizeArea(picture, width, height) : resizeLinear(picture, width, height);
  return paste(strip, size, Math.floor((size - width) / 2), Math.floor((size - height) / 2));
}

/** Returns a black square with the picture at a place in it; what lies outside the square is cut off. */
function paste(picture: Picture, side: number, left: number, top: number): Picture {
  const pixels = new Uint8Array(side * side * 3);
  const from = Math.max(0, -left);
  const to = Math.min(picture.width, side - left);
  for (let row = Math.max(0, -top); row < Math.min(picture.height, side - top); row++) {
    const line = picture.pixels.subarray((row * picture.width + from) * 3, (row * picture.width + to) * 3);
    pixels.set(line, ((row + top) * side + from + left) * 3);
  }
  return { pixels, width: side, height: side };
}

const masks = new Map<number, Uint8Array>();

/** Returns where the fundus is in a prepared image: 1 in the inscribed circle. It is kept, and must not be changed. */
export function circleMask(size: number): Uint8Array {
  const known = masks.get(size);
  if (known) return known;
  const middle = (size - 1) / 2;
  const mask = new Uint8Array(size * size);
  masks.set(size, mask);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      if ((x - middle) ** 2 + (y - middle) ** 2 <= (size * size) / 4) mask[y * size + x] = 1;
    }
  }
  return mask;
}

function blackened(image: Picture): Picture {
  const pixels = image.pixels.slice();
  const mask = circleMask(image.width);
  for (let pixel = 0; pixel < mask.length; pixel++) {
    if (mask[pixel]) continue;
    pixels[3 * pixel] = 0;
    pixels[3 * pixel + 1] = 0;
    pixels[3 * pixel + 2] = 0;
  }
  return { ...image, pixels };
}
