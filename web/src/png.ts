// Decodes PNG files with 1 to 16 bits per sample (PNG specification, third edition), with the samples that OpenCV gives.
// The browser's own decoder is not used: it converts colours, multiplies by transparency and drops bits.

import { COPY_AGAIN, KerasDrError } from "./errors.ts";
import { outOfMemory } from "./jpeg.ts";

/** The samples of a picture: `channels` is 1 grey, 3 RGB or 4 RGBA. */
export interface Samples {
  readonly values: Uint8Array | Uint16Array;
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3 | 4;
}

/** What IHDR says (PNG specification, 11.2.1). */
export interface PngHeader {
  readonly width: number;
  readonly height: number;
  readonly depth: number;
  readonly colour: number;
  readonly isInterlaced: boolean;
}

const STORED: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };
const DEPTHS: Readonly<Record<number, readonly number[]>> = {
  0: [1, 2, 4, 8, 16],
  2: [8, 16],
  3: [1, 2, 4, 8],
  4: [8, 16],
  6: [8, 16],
};
// the seven passes of an interlaced picture: first column and row, distance of columns and rows
const PASSES = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
] as const;

export function readPngHeader(data: Uint8Array): PngHeader {
  const view = viewOf(data);
  if (data.length < 33 || nameAt(data, 12) !== "IHDR") throw broken(data);
  const header = {
    width: view.getUint32(16),
    height: view.getUint32(20),
    depth: data[24],
    colour: data[25],
    isInterlaced: data[28] === 1,
  };
  if (!DEPTHS[header.colour]?.includes(header.depth)) throw broken(data);
  return header;
}

function broken(data: Uint8Array): KerasDrError {
  const message = "The photograph begins as a PNG picture, but it is truncated or damaged, so that no decoder can read";
  return new KerasDrError(`${message} its ${data.length} bytes.`, COPY_AGAIN);
}

function viewOf(data: Uint8Array): DataView {
  return new DataView(data.buffer, data.byteOffset, data.byteLength);
}

function nameAt(data: Uint8Array, place: number): string {
  return String.fromCharCode(...data.subarray(place, place + 4));
}

/** The chunks that matter, each with its content. */
interface Chunks {
  readonly palette: Uint8Array;
  readonly transparency: Uint8Array | null;
  readonly compressed: Uint8Array[];
}

function readChunks(data: Uint8Array): Chunks {
  const view = viewOf(data);
  let palette = new Uint8Array();
  let transparency: Uint8Array | null = null;
  const compressed: Uint8Array[] = [];
  for (let place = 8; place + 12 <= data.length; ) {
    const length = view.getUint32(place);
    const end = place + 12 + length;
    if (end > data.length) throw broken(data);
    const name = nameAt(data, place + 4);
    const content = data.subarray(place + 8, place + 8 + length);
    const isCritical = (data[place + 4] & 0x20) === 0;
    const isIntact = crc32(data.subarray(place + 4, place + 8 + length)) === view.getUint32(end - 4);
    if (!isIntact && isCritical) throw broken(data);
    if (name === "PLTE") palette = new Uint8Array(content);
    else if (name === "tRNS" && isIntact) transparency = content;
    else if (name === "IDAT") compressed.push(content);
    else if (name === "IEND") break;
    place = end;
  }
  return { palette, transparency, compressed };
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value >>> 0;
});

function crc32(data: Uint8Array): number {
  let value = 0xffffffff;
  for (const byte of data) value = CRC_TABLE[(value ^ byte) & 0xff] ^ (value >>> 8);
  return ~value >>> 0;
}

/** Decompresses exactly `size` bytes; what follows them is ignored. */
async function inflate(data: Uint8Array, compressed: Uint8Array[], size: number): Promise<Uint8Array> {
  const stream = new Blob(compressed as Uint8Array<ArrayBuffer>[]).stream().pipeThrough(new DecompressionStream("deflate"));
  const reader = stream.getReader();
  const result = allocate(size);
  let count = 0;
  try {
    while (count < size) {
      const { done, value } = await reader.read();
      if (done) break;
      const part = value.subarray(0, size - count);
      result.set(part, count);
      count += part.length;
    }
    void reader.cancel().catch(() => undefined);
  } catch {
    throw broken(data);
  }
  if (count < size) throw broken(data);
  return result;
}

function allocate(size: number): Uint8Array {
  try {
    return new Uint8Array(size);
  } catch {
    throw outOfMemory();
  }
}

/** Decodes a PNG file whose end has been checked. */
export async function decodePng(data: Uint8Array): Promise<Samples> {
  const header = readPngHeader(data);
  const { width, height, depth, colour } = header;
  const chunks = readChunks(data);
  if (colour === 3 && chunks.palette.length < 3) throw broken(data);
  const stored = STORED[colour];
  const rowBytes = (columns: number): number => Math.ceil((columns * stored * depth) / 8);
  const whole = [0, 0, 1, 1] as const;
  const passes = (header.isInterlaced ? PASSES : [whole]).map(([left, top, across, down]) => {
    return { left, top, across, down, width: Math.ceil((width - left) / across), height: Math.ceil((height - top) / down) };
  });
  const used = passes.filter((pass) => pass.width > 0 && pass.height > 0);
  const size = used.reduce((sum, pass) => sum + pass.height * (1 + rowBytes(pass.width)), 0);
  const bytes = await inflate(data, chunks.compressed, size);
  const raw = depth === 16 ? new Uint16Array(width * height * stored) : allocate(width * height * stored);
  let place = 0;
  for (const pass of used) {
    const length = rowBytes(pass.width);
    const rows = bytes.subarray(place, place + pass.height * (1 + length));
    place += rows.length;
    if (!unfilter(rows, length, Math.max(1, (stored * depth) >> 3))) throw broken(data);
    for (let row = 0; row < pass.height; row++) {
      const line = rows.subarray(row * (1 + length) + 1, (row + 1) * (1 + length));
      const start = (pass.top + row * pass.down) * width + pass.left;
      spread(line, depth, stored, pass.width, raw, start * stored, pass.across * stored);
    }
  }
  return toSamples(raw, header, chunks);
}

/** Undoes the filters of rows in place (PNG specification, 9.2); false if a filter is unknown. */
function unfilter(rows: Uint8Array, length: number, step: number): boolean {
  for (let start = 0; start < rows.length; start += length + 1) {
    const filter = rows[start];
    if (filter > 4) return false;
    const hasUpper = start > 0;
    for (let index = 0; index < length; index++) {
      const place = start + 1 + index;
      const left = index >= step ? rows[place - step] : 0;
      const upper = hasUpper ? rows[place - length - 1] : 0;
      const corner = hasUpper && index >= step ? rows[place - length - 1 - step] : 0;
      if (filter === 1) rows[place] += left;
      else if (filter === 2) rows[place] += upper;
      else if (filter === 3) rows[place] += (left + upper) >> 1;
      else if (filter === 4) rows[place] += paeth(left, upper, corner);
    }
  }
  return true;
}

function paeth(left: number, upper: number, corner: number): number {
  const estimate = left + upper - corner;
  const toLeft = Math.abs(estimate - left);
  const toUpper = Math.abs(estimate - upper);
  const toCorner = Math.abs(estimate - corner);
  if (toLeft <= toUpper && toLeft <= toCorner) return left;
  return toUpper <= toCorner ? upper : corner;
}

/** Writes the samples of a row to `target`, a pixel every `step` samples. */
function spread(
  line: Uint8Array,
  depth: number,
  stored: number,
  columns: number,
  target: Uint8Array | Uint16Array,
  start: number,
  step: number,
): void {
  const mask = (1 << depth) - 1;
  for (let column = 0; column < columns; column++) {
    for (let channel = 0; channel < stored; channel++) {
      const index = column * stored + channel;
      let value: number;
      if (depth === 16) value = (line[2 * index] << 8) | line[2 * index + 1];
      else if (depth === 8) value = line[index];
      else value = (line[(index * depth) >> 3] >> (8 - depth - ((index * depth) & 7))) & mask;
      target[start + column * step + channel] = value;
    }
  }
}

/** Turns stored samples into the layouts that OpenCV gives: grey, RGB or RGBA. */
function toSamples(raw: Uint8Array | Uint16Array, header: PngHeader, chunks: Chunks): Samples {
  const { width, height, depth, colour } = header;
  const { transparency } = chunks;
  const size = { width, height };
  const full = depth === 16 ? 65535 : 255;
  if (colour === 0) {
    const factor = depth < 8 ? 255 / ((1 << depth) - 1) : 1;
    return { ...size, channels: 1, values: factor === 1 ? raw : raw.map((value) => value * factor) };
  }
  if (colour === 6 || (colour === 2 && !transparency)) {
    return { ...size, channels: colour === 6 ? 4 : 3, values: raw };
  }
  const channels = colour === 3 && !transparency ? 3 : 4;
  const values = depth === 16 ? new Uint16Array(width * height * channels) : allocate(width * height * channels);
  const keyAt = (index: number): number => (transparency ? (transparency[2 * index] << 8) | transparency[2 * index + 1] : -1);
  const key = colour === 2 ? [keyAt(0), keyAt(1), keyAt(2)] : [];
  for (let pixel = 0; pixel < width * height; pixel++) {
    const to = pixel * channels;
    if (colour === 3) {
      const entry = raw[pixel];
      for (let channel = 0; channel < 3; channel++) values[to + channel] = chunks.palette[3 * entry + channel] ?? 0;
      if (channels === 4) values[to + 3] = transparency?.[entry] ?? 255;
    } else if (colour === 4) {
      values.fill(raw[2 * pixel], to, to + 3);
      values[to + 3] = raw[2 * pixel + 1];
    } else {
      for (let channel = 0; channel < 3; channel++) values[to + channel] = raw[3 * pixel + channel];
      const isKey = key.every((value, channel) => value === raw[3 * pixel + channel]);
      values[to + 3] = isKey ? 0 : full;
    }
  }
  return { ...size, channels, values };
}

/** Returns the end of IEND, or a place after the file's end if there is none. */
export function pngEnd(data: Uint8Array): number {
  const view = viewOf(data);
  for (let place = 8; ; ) {
    if (place + 8 > data.length) return data.length + 1;
    const name = nameAt(data, place + 4);
    place += 12 + view.getUint32(place);
    if (name === "IEND" || place > data.length) return place;
  }
}

/** Returns the place of a chunk's name before the picture's data; -1 if there is none. */
export function findBeforeData(data: Uint8Array, name: string): number {
  const isAt = (place: number, text: string): boolean => nameAt(data, place) === text;
  for (let place = 0; place < data.length - 3; place++) {
    if (isAt(place, "IDAT")) return -1;
    if (isAt(place, name)) return place;
  }
  return -1;
}
