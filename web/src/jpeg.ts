// Decodes JPEG files by libjpeg-turbo in WebAssembly, and checks whether they hold their whole picture: the same
// verdicts as keras_dr/core/jpeg.py, which explains them.

import { damaged, KerasDrError, truncated } from "./errors.ts";
import type { Picture } from "./picture.ts";

const COEFFICIENTS = 64;
const END = 0xd9;
const LACKING = ["premature end", "instead of rst", "ends prematurely"];
const DAMAGED = ["bad huffman code", "bad arithmetic code", "inconsistent progression"];
const DAMAGED_INTERVAL = /extraneous bytes before marker 0xd[0-7]/;
// meaningless data; it begins with 0, so that a 0xFF before it does not become a marker
const FILLING = Uint8Array.from([0, ...Array.from({ length: 512 }, (_, number) => (197 * number + 91) % 251)]);

/** A picture that was decoded, and the decoder's first warning; "" if there was none. */
export interface Decoded {
  readonly picture: Picture;
  readonly warning: string;
}

/** The decoder could not go on; `message` is its reason. */
export class JpegError extends Error {}

interface DecoderExports {
  readonly memory: WebAssembly.Memory;
  _initialize?(): void;
  alloc(bytes: number): number;
  decode(data: number, bytes: number, reduction: number): number;
  message(): number;
  width(): number;
  height(): number;
}

/** libjpeg-turbo in WebAssembly. Each photograph gets an instance of its own, whose memory is freed with it. */
export class JpegDecoder {
  private readonly module: WebAssembly.Module;

  private constructor(module: WebAssembly.Module) {
    this.module = module;
  }

  static async load(code: BufferSource): Promise<JpegDecoder> {
    return new JpegDecoder(await WebAssembly.compile(code));
  }

  /**
   * Decodes a file as far as it goes, without EXIF orientation.
   *
   * @param data the bytes of the file
   * @param reduction 1, 2, 4 or 8
   * @throws JpegError if there is no picture; KerasDrError if the memory does not suffice
   */
  decode(data: Uint8Array, reduction: number): Decoded {
    const nothing = (): number => 0;
    const system = new Proxy({}, { get: () => nothing }); // the C library's functions for files are never called
    let decoder!: DecoderExports;
    const text = (): string => {
      const bytes = new Uint8Array(decoder.memory.buffer, decoder.message());
      return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
    };
    const fail = (lacksMemory: number): never => {
      throw lacksMemory ? outOfMemory() : new JpegError(text());
    };
    try {
      const instance = new WebAssembly.Instance(this.module, { env: { fail }, wasi_snapshot_preview1: system });
      decoder = instance.exports as unknown as DecoderExports;
      decoder._initialize?.();
      const input = decoder.alloc(data.length);
      if (input === 0) throw outOfMemory();
      new Uint8Array(decoder.memory.buffer, input, data.length).set(data);
      const output = decoder.decode(input, data.length, reduction);
      const width = decoder.width();
      const height = decoder.height();
      const pixels = new Uint8Array(decoder.memory.buffer, output, width * height * 3).slice();
      return { picture: { pixels, width, height }, warning: text() };
    } catch (error) {
      if (error instanceof RangeError || error instanceof WebAssembly.RuntimeError) throw outOfMemory();
      throw error;
    }
  }
}

export function outOfMemory(): KerasDrError {
  const remedy = "Close other pages and programs, or reduce the photograph first.";
  return new KerasDrError("This browser has too little memory for the photograph.", remedy);
}

/**
 * Returns the pixels of a JPEG as stored, without EXIF orientation; null if the decoder gives no verdict.
 *
 * @throws KerasDrError if the file is truncated or damaged within the picture
 */
export function decodeStrictly(decoder: JpegDecoder, data: Uint8Array, reduction: number): Picture | null {
  let reason: string;
  let picture: Picture | null = null;
  try {
    const decoded = decoder.decode(data, reduction);
    reason = decoded.warning;
    picture = decoded.picture;
  } catch (error) {
    if (!(error instanceof JpegError)) throw error;
    reason = error.message || "unknown";
  }
  if (picture && !reason) return picture;
  const warning = reason.toLowerCase();
  if (LACKING.some((words) => warning.includes(words))) throw truncated(data.length);
  if (DAMAGED.some((words) => warning.includes(words)) || DAMAGED_INTERVAL.test(warning)) {
    throw damaged(reason.split(": ").at(-1)!);
  }
  return null;
}

/** Returns the pixels as far as the file can be decoded; null if it cannot. */
export function decodeLoosely(decoder: JpegDecoder, data: Uint8Array, reduction: number): Picture | null {
  try {
    return decoder.decode(data, reduction).picture;
  } catch (error) {
    if (error instanceof JpegError) return null;
    throw error;
  }
}

interface Scan {
  readonly components: readonly number[];
  readonly first: number;
  readonly last: number;
  readonly low: number;
  readonly start: number;
  readonly end: number;
}

/** The header of the frame, and what follows it up to the end mark (ITU-T T.81, B.2). */
export interface Frame {
  readonly progressive: boolean;
  readonly arithmetic: boolean;
  readonly height: number;
  readonly width: number;
  readonly sampling: ReadonlyMap<number, readonly [number, number]>;
  readonly interval: number;
  readonly scans: readonly Scan[];
  readonly ended: boolean;
}

function byteAt(data: Uint8Array, place: number): number {
  if (place < 0 || place >= data.length) throw new RangeError("The file ends within a segment.");
  return data[place];
}

function wordAt(data: Uint8Array, place: number): number {
  return (byteAt(data, place) << 8) | byteAt(data, place + 1);
}

/** Whether a marker begins a frame. */
export function isFrame(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
}

/** Returns the place of the next marker that ends compressed data; the file's length if there is none. */
function nextMarker(data: Uint8Array, from: number): number {
  for (let place = data.indexOf(0xff, from); place >= 0; place = data.indexOf(0xff, place + 1)) {
    const marker = data[place + 1];
    if (marker === undefined) break;
    if (marker !== 0x00 && marker !== 0xff && !(marker >= 0xd0 && marker <= 0xd7)) return place;
  }
  return data.length;
}

/** Yields the marker of each segment and the place of its length. */
function* segments(data: Uint8Array): Generator<readonly [marker: number, place: number]> {
  let place = 2;
  for (;;) {
    const mark = nextMarker(data, place);
    if (mark >= data.length) return;
    place = mark + 2;
    const marker = data[mark + 1];
    yield [marker, place];
    if (marker === END) return;
    if (marker !== 0x01 && marker !== 0xd8) place += wordAt(data, place);
  }
}

/** Whether further scans follow the first, because it does not hold all coefficients or components. */
export function hasSeveralScans(data: Uint8Array, components: number): boolean {
  let progressive = false;
  try {
    for (const [marker, place] of segments(data)) {
      progressive ||= marker === 0xc2 || marker === 0xca;
      if (marker === 0xda) return progressive || byteAt(data, place + 2) < components;
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  throw truncated(data.length);
}

/** Refuses a file that lacks scans: its scans must complete every coefficient of every component. */
export function checkScans(data: Uint8Array): Frame {
  let frame: Frame;
  try {
    frame = readFrame(data);
  } catch (error) {
    if (error instanceof RangeError) throw truncated(data.length);
    throw error;
  }
  if (!frame.ended || !isComplete(frame)) throw truncated(data.length);
  return frame;
}

function isComplete(frame: Frame): boolean {
  for (const component of frame.sampling.keys()) {
    const lowest = new Array<number>(COEFFICIENTS).fill(-1);
    for (const scan of frame.scans) {
      if (!scan.components.includes(component)) continue;
      const first = frame.progressive ? scan.first : 0;
      const last = frame.progressive ? scan.last : COEFFICIENTS - 1;
      for (let coefficient = first; coefficient <= last; coefficient++) {
        lowest[coefficient] = frame.progressive ? scan.low : 0;
      }
    }
    if (lowest.some((bit) => bit !== 0)) return false;
  }
  return true;
}

function readFrame(data: Uint8Array): Frame {
  let kind = 0;
  let height = 0;
  let width = 0;
  let interval = 0;
  let ended = false;
  const sampling = new Map<number, readonly [number, number]>();
  const scans: Scan[] = [];
  for (const [marker, place] of segments(data)) {
    if (marker === END) {
      ended = true;
    } else if (isFrame(marker)) {
      kind = marker;
      height = wordAt(data, place + 3);
      width = wordAt(data, place + 5);
      for (let number = 0; number < byteAt(data, place + 7); number++) {
        const factors = byteAt(data, place + 9 + 3 * number);
        sampling.set(byteAt(data, place + 8 + 3 * number), [Math.max(1, factors >> 4), Math.max(1, factors & 15)]);
      }
    } else if (marker === 0xdd) {
      interval = wordAt(data, place + 2);
    } else if (marker === 0xda) {
      scans.push(readScan(data, place));
    }
  }
  if (scans.some((scan) => scan.components.some((name) => !sampling.has(name)))) {
    throw new RangeError("A scan has an unknown component.");
  }
  const progressive = kind === 0xc2 || kind === 0xca;
  return { progressive, arithmetic: kind >= 0xc8, height, width, sampling, interval, scans, ended };
}

function readScan(data: Uint8Array, place: number): Scan {
  const count = byteAt(data, place + 2);
  const components = Array.from({ length: count }, (_, number) => byteAt(data, place + 3 + 2 * number));
  const after = place + 3 + 2 * count;
  const start = place + wordAt(data, place);
  return {
    components,
    first: byteAt(data, after),
    last: Math.min(byteAt(data, after + 1), 63),
    low: byteAt(data, after + 2) & 15,
    start,
    end: nextMarker(data, start),
  };
}

/** Whether the last scan has fewer restart marks than its size requires (T.81, A.2 and E.1.4). */
export function lacksRestarts(data: Uint8Array, frame: Frame): boolean {
  const scan = frame.scans.at(-1)!;
  if (frame.interval === 0) return false;
  const factors = [...frame.sampling.values()];
  let across = Math.max(...factors.map(([horizontal]) => horizontal));
  let down = Math.max(...factors.map(([, vertical]) => vertical));
  if (scan.components.length === 1) {
    const [horizontal, vertical] = frame.sampling.get(scan.components[0])!;
    across /= horizontal;
    down /= vertical;
  }
  const units = Math.ceil(frame.width / (8 * across)) * Math.ceil(frame.height / (8 * down));
  let marks = 0;
  for (let place = scan.start; place + 1 < scan.end; place++) {
    if (data[place] === 0xff && data[place + 1] >= 0xd0 && data[place + 1] <= 0xd7) marks++;
  }
  return marks < Math.ceil(units / frame.interval) - 1;
}

/** Returns the file with meaningless data after its last scan, which is read only if the scan lacks data. */
export function withFilling(data: Uint8Array, frame: Frame): Uint8Array {
  const { end } = frame.scans.at(-1)!;
  const longer = new Uint8Array(data.length + FILLING.length);
  longer.set(data.subarray(0, end));
  longer.set(FILLING, end);
  longer.set(data.subarray(end), end + FILLING.length);
  return longer;
}

/** Returns the kind of a JPEG that no decoder here reads, such as "a lossless JPEG picture"; "" for a usual one. */
export function rareKind(data: Uint8Array): string {
  try {
    for (const [marker, place] of segments(data)) {
      if (marker === 0xf7) return "a JPEG-LS picture";
      if (!isFrame(marker)) continue;
      const bits = byteAt(data, place + 2);
      if ([0xc3, 0xc7, 0xcb, 0xcf].includes(marker)) return "a lossless JPEG picture";
      if (bits !== 8) return `a JPEG picture with ${bits} bits per sample`;
      return marker > 0xc8 ? "an arithmetically coded JPEG picture" : "";
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return "";
}
