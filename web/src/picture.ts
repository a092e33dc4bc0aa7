// Pictures, and OpenCV's ways to resize them.

import { roundHalfEven, toByte } from "./numbers.ts";

const { fround } = Math;

/** A picture: `pixels` are uint8 RGB, row by row, three bytes a pixel. */
export interface Picture {
  readonly pixels: Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** Mirrors a place beyond the border about the first or last pixel (BORDER_REFLECT_101). */
export function reflected(place: number, size: number): number {
  if (size === 1) return 0;
  let inside = place;
  while (inside < 0 || inside >= size) inside = inside < 0 ? -inside : 2 * size - 2 - inside;
  return inside;
}

/** Which source pixels make up the target pixels along one axis, and with which weights (float32). */
interface AreaTable {
  readonly target: Int32Array;
  readonly source: Int32Array;
  readonly weight: Float32Array;
}

/** OpenCV's computeResizeAreaTab. */
function areaTable(sourceSize: number, targetSize: number): AreaTable {
  const scale = 1 / (targetSize / sourceSize);
  const target: number[] = [];
  const source: number[] = [];
  const weight: number[] = [];
  const add = (to: number, from: number, share: number): void => {
    target.push(to);
    source.push(from);
    weight.push(fround(share));
  };
  for (let index = 0; index < targetSize; index++) {
    const start = index * scale;
    const end = start + scale;
    const cell = Math.min(scale, sourceSize - start);
    const last = Math.min(Math.floor(end), sourceSize - 1);
    const first = Math.min(Math.ceil(start), last);
    if (first - start > 1e-3) add(index, first - 1, (first - start) / cell);
    for (let pixel = first; pixel < last; pixel++) add(index, pixel, 1 / cell);
    if (end - last > 1e-3) add(index, last, Math.min(Math.min(end - last, 1), cell) / cell);
  }
  return { target: Int32Array.from(target), source: Int32Array.from(source), weight: Float32Array.from(weight) };
}

/** Reduces by whole factors: the mean of blocks, as OpenCV's resizeAreaFast_ takes it. */
function resizeByBlocks(picture: Picture, width: number, height: number): Picture {
  const { pixels: source, width: sourceWidth } = picture;
  const across = picture.width / width;
  const down = picture.height / height;
  const share = fround(1 / (across * down));
  const isHalving = across === 2 && down === 2;
  const pixels = new Uint8Array(width * height * 3);
  let place = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let channel = 0; channel < 3; channel++) {
        let sum = 0;
        for (let row = 0; row < down; row++) {
          let from = ((y * down + row) * sourceWidth + x * across) * 3 + channel;
          for (let column = 0; column < across; column++, from += 3) sum += source[from];
        }
        pixels[place++] = isHalving ? (sum + 2) >> 2 : toByte(fround(fround(sum) * share));
      }
    }
  }
  return { pixels, width, height };
}

/** Reduces a picture as cv2.resize with INTER_AREA does. */
export function resizeArea(picture: Picture, width: number, height: number): Picture {
  if (picture.width === width && picture.height === height) return picture;
  if (picture.width < width || picture.height < height) return resizeAreaUpwards(picture, width, height);
  if (picture.width % width === 0 && picture.height % height === 0) return resizeByBlocks(picture, width, height);
  const columns = areaTable(picture.width, width);
  const rows = areaTable(picture.height, height);
  const pixels = new Uint8Array(width * height * 3);
  const line = new Float32Array(width * 3);
  const sum = new Float32Array(width * 3);
  let current = rows.target[0];
  let inLine = -1; // the source row that `line` holds; a row may be a part of two target rows
  const finishRow = (): void => {
    const start = current * width * 3;
    for (let index = 0; index < sum.length; index++) pixels[start + index] = toByte(sum[index]);
  };
  for (let entry = 0; entry < rows.target.length; entry++) {
    if (rows.source[entry] !== inLine) {
      inLine = rows.source[entry];
      reduceLine(picture.pixels, inLine * picture.width * 3, columns, line);
    }
    const weight = rows.weight[entry];
    if (rows.target[entry] !== current) {
      finishRow();
      current = rows.target[entry];
      for (let index = 0; index < sum.length; index++) sum[index] = weight * line[index];
    } else {
      for (let index = 0; index < sum.length; index++) sum[index] += fround(weight * line[index]);
    }
  }
  finishRow();
  return { pixels, width, height };
}

/** Adds up the weighted pixels of a source row that begins at `start`, in single precision and in OpenCV's order. */
function reduceLine(pixels: Uint8Array, start: number, columns: AreaTable, line: Float32Array): void {
  const { target, source, weight } = columns;
  let entry = 0;
  for (let to = 0; to < line.length; to += 3) {
    let red = 0;
    let green = 0;
    let blue = 0;
    for (; 3 * target[entry] === to; entry++) {
      const from = start + 3 * source[entry];
      red = fround(red + fround(pixels[from] * weight[entry]));
      green = fround(green + fround(pixels[from + 1] * weight[entry]));
      blue = fround(blue + fround(pixels[from + 2] * weight[entry]));
    }
    line[to] = red;
    line[to + 1] = green;
    line[to + 2] = blue;
  }
}

/** Returns where a target pixel lies between two source pixels, and its share of the second one (float32). */
type Place = readonly [first: number, share: number];
type PlaceOf = (index: number) => Place;

function linearPlace(sourceSize: number, targetSize: number): PlaceOf {
  const scale = 1 / (targetSize / sourceSize);
  return (index) => {
    const place = fround((index + 0.5) * scale - 0.5);
    const first = Math.floor(place);
    return [first, fround(place - first)];
  };
}

/** The places for INTER_AREA where a side grows, which OpenCV interpolates in its own way. */
function areaPlace(sourceSize: number, targetSize: number): PlaceOf {
  const growth = targetSize / sourceSize;
  const scale = 1 / growth;
  return (index) => {
    const first = Math.floor(index * scale);
    const share = fround(index + 1 - (first + 1) * growth);
    return [first, share <= 0 ? 0 : fround(share - Math.floor(share))];
  };
}

function resizeAreaUpwards(picture: Picture, width: number, height: number): Picture {
  return interpolate(picture, width, height, areaPlace(picture.width, width), areaPlace(picture.height, height));
}

/** Enlarges or reduces a picture as cv2.resize with INTER_LINEAR does, in fixed point with 11 bits. */
export function resizeLinear(picture: Picture, width: number, height: number): Picture {
  return interpolate(picture, width, height, linearPlace(picture.width, width), linearPlace(picture.height, height));
}

function interpolate(picture: Picture, width: number, height: number, columnAt: PlaceOf, rowAt: PlaceOf): Picture {
  if (picture.width === width && picture.height === height) return picture;
  const fixed = (share: number): number => roundHalfEven(fround(share * 2048));
  const firstOf = new Int32Array(width);
  const secondOf = new Int32Array(width);
  const firstWeight = new Int32Array(width);
  const secondWeight = new Int32Array(width);
  const lastColumn = picture.width - 1;
  for (let x = 0; x < width; x++) {
    let [column, share] = columnAt(x);
    if (column < 0) {
      column = 0;
      share = 0;
    }
    if (column >= lastColumn) {
      column = lastColumn;
      share = 0;
    }
    firstOf[x] = column * 3;
    secondOf[x] = Math.min(column + 1, lastColumn) * 3;
    firstWeight[x] = fixed(fround(1 - share));
    secondWeight[x] = fixed(share);
  }
  const lines = new Map<number, Int32Array>();
  const lineOf = (row: number): Int32Array => {
    const inside = Math.max(0, Math.min(picture.height - 1, row));
    const known = lines.get(inside);
    if (known) return known;
    if (lines.size > 3) lines.clear();
    const line = new Int32Array(width * 3);
    const start = inside * picture.width * 3;
    for (let x = 0; x < width; x++) {
      for (let channel = 0; channel < 3; channel++) {
        const first = picture.pixels[start + firstOf[x] + channel] * firstWeight[x];
        line[3 * x + channel] = first + picture.pixels[start + secondOf[x] + channel] * secondWeight[x];
      }
    }
    lines.set(inside, line);
    return line;
  };
  const pixels = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    const [row, share] = rowAt(y);
    const upperWeight = fixed(fround(1 - share));
    const lowerWeight = fixed(share);
    const upper = lineOf(row);
    const lower = lineOf(row + 1);
    const start = y * width * 3;
    for (let index = 0; index < width * 3; index++) {
      const sum = ((upperWeight * (upper[index] >> 4)) >> 16) + ((lowerWeight * (lower[index] >> 4)) >> 16);
      pixels[start + index] = (sum + 2) >> 2;
    }
  }
  return { pixels, width, height };
}

/** The two source pixels of each target pixel, and the weight of the second one in 256ths. */
interface ExactAxis {
  readonly first: Int32Array;
  readonly second: Int32Array;
  readonly weight: Int32Array;
}

function exactAxis(sourceSize: number, targetSize: number): ExactAxis {
  const scale = 1 / (targetSize / sourceSize);
  const first = new Int32Array(targetSize);
  const second = new Int32Array(targetSize);
  const weight = new Int32Array(targetSize);
  for (let index = 0; index < targetSize; index++) {
    const place = scale * (index + 0.5) - 0.5;
    const below = Math.floor(place);
    first[index] = Math.max(0, Math.min(below, sourceSize - 1));
    second[index] = Math.max(0, Math.min(below + 1, sourceSize - 1));
    weight[index] = below >= 0 && below < sourceSize - 1 ? roundHalfEven((place - below) * 256) : 0;
  }
  return { first, second, weight };
}

/** Resizes a picture as cv2.resize with INTER_LINEAR_EXACT does: fixed point with 8 bits along each axis. */
export function resizeLinearExact(picture: Picture, width: number, height: number): Picture {
  if (picture.width === width && picture.height === height) return picture;
  const columns = exactAxis(picture.width, width);
  const rows = exactAxis(picture.height, height);
  const { pixels: source } = picture;
  const lineOf = (row: number): Int32Array => {
    const line = new Int32Array(width * 3);
    const start = row * picture.width * 3;
    for (let x = 0; x < width; x++) {
      const first = start + columns.first[x] * 3;
      const second = start + columns.second[x] * 3;
      const weight = columns.weight[x];
      for (let channel = 0; channel < 3; channel++) {
        line[3 * x + channel] = (256 - weight) * source[first + channel] + weight * source[second + channel];
      }
    }
    return line;
  };
  const pixels = new Uint8Array(width * height * 3);
  const known = new Map<number, Int32Array>();
  for (let y = 0; y < height; y++) {
    for (const row of known.keys()) if (row < rows.first[y]) known.delete(row);
    for (const row of [rows.first[y], rows.second[y]]) if (!known.has(row)) known.set(row, lineOf(row));
    const upper = known.get(rows.first[y])!;
    const lower = known.get(rows.second[y])!;
    const weight = rows.weight[y];
    const start = y * width * 3;
    for (let index = 0; index < width * 3; index++) {
      pixels[start + index] = ((256 - weight) * upper[index] + weight * lower[index] + 32768) >> 16;
    }
  }
  return { pixels, width, height };
}
