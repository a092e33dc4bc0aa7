// Decodes JPEG and PNG files as RGB, JPEG also at a reduced scale; the same files are refused as in
// keras_dr/core/headers.py and decoding.py. Other formats that Python reads are refused here with a sentence that
// names them.

import { COPY_AGAIN, KerasDrError, truncated } from "./errors.ts";
import { applyOrientation, readOrientation } from "./exif.ts";
import { isJpeg, isPng, notAPhotograph } from "./fileKinds.ts";
import * as jpeg from "./jpeg.ts";
import type { Picture } from "./picture.ts";
import { decodePng, findBeforeData, pngEnd, readPngHeader } from "./png.ts";
import { toPicture } from "./samples.ts";

const MAX_PIXELS = 100_000_000;
const MAX_SCANS = 50;
const REDUCTIONS = [1, 2, 4, 8];
const UNKNOWN = 0; // an orientation in EXIF data that is broken
const ARITHMETIC = 0xc9; // frames with this marker and above are coded arithmetically (T.81, table B.1)

/** The properties in the header of a file; see `Header` in Python. */
export interface Header {
  readonly width: number;
  readonly height: number;
  readonly reductions: readonly number[];
  readonly pixelBytes: number;
  /** The EXIF orientation by which Python's header exchanges width and height; 0 if the data is broken. */
  readonly orientation: number;
  /** The EXIF orientation that OpenCV applies: that of the first segment with EXIF data. */
  readonly applied: number;
  readonly components: number;
  readonly sampleBits: number;
}

/**
 * Reads the size from the header of a file, before anything is decoded.
 *
 * @throws KerasDrError if the format is another, the header is broken, or the picture has too many pixels or scans
 */
export function readHeader(data: Uint8Array): Header {
  let header: Header | null = null;
  if (isJpeg(data)) header = jpegHeader(data);
  else if (isPng(data)) header = pngHeader(data);
  if (!header) throw notAPhotograph(data);
  const { width, height, pixelBytes } = header;
  if (height < 1 || width < 1) {
    const problem = `The photograph has ${width} x ${height} pixels, by what its file says.`;
    throw new KerasDrError(problem, COPY_AGAIN);
  }
  if (height * width * Math.max(3, pixelBytes) > 3 * MAX_PIXELS) {
    const size = `${width} x ${height} pixels of ${pixelBytes} bytes`;
    const problem = `The photograph has ${size}; it may have at most ${MAX_PIXELS / 1e6} megapixels of 3 bytes.`;
    throw new KerasDrError(problem, "Reduce it first.");
  }
  const scans = isJpeg(data) ? countScans(data) : 0;
  if (scans > MAX_SCANS) {
    throw new KerasDrError(`The JPEG file has ${scans} scans; it may have at most ${MAX_SCANS}.`, COPY_AGAIN);
  }
  return header;
}

function countScans(data: Uint8Array): number {
  let count = 0;
  for (let place = data.indexOf(0xff); place >= 0; place = data.indexOf(0xff, place + 1)) {
    if (data[place + 1] === 0xda) count++;
  }
  return count;
}

/** Reads the segments up to the start of frame (ITU-T T.81, annex B); null if there is none. */
function jpegHeader(data: Uint8Array): Header | null {
  const wordAt = (place: number): number => (data[place] << 8) | data[place + 1];
  let place = 2;
  let orientation = 1;
  let applied = 1;
  let exifSegments = 0;
  for (;;) {
    const mark = data.indexOf(0xff, place);
    if (mark < 0 || mark + 3 >= data.length) return null;
    place = mark + 1;
    const marker = data[place];
    if (marker === 0x00 || marker === 0x01 || marker === 0xff || (marker >= 0xd0 && marker <= 0xd7)) continue;
    if (jpeg.isFrame(marker)) {
      if (marker >= ARITHMETIC || place + 7 >= data.length) return null;
      const stored = { height: wordAt(place + 4), width: wordAt(place + 6) };
      const isSideways = orientation >= 5;
      if (exifSegments > 1 && orientation === 1) orientation = UNKNOWN;
      return {
        width: isSideways ? stored.height : stored.width,
        height: isSideways ? stored.width : stored.height,
        reductions: REDUCTIONS,
        pixelBytes: 3,
        orientation,
        applied,
        components: data[place + 8] ?? 0,
        sampleBits: 0,
      };
    }
    if (marker === 0xd8 || marker === 0xd9 || marker === 0xda) return null;
    const length = wordAt(place + 1);
    if (marker === 0xe1 && isExif(data, place + 3)) {
      exifSegments++;
      orientation = readOrientation(data.subarray(place + 9, place + 1 + length));
      if (exifSegments === 1) applied = orientation;
    }
    place += 1 + length;
  }
}

function isExif(data: Uint8Array, place: number): boolean {
  return [0x45, 0x78, 0x69, 0x66, 0, 0].every((byte, index) => data[place + index] === byte);
}

function pngHeader(data: Uint8Array): Header {
  const { width, height, depth, colour } = readPngHeader(data);
  if (findBeforeData(data, "acTL") >= 0) {
    const problem = "The file is an animated PNG picture; it is unknown which of its frames is the photograph.";
    throw new KerasDrError(problem, "Save one frame of it as PNG.");
  }
  const samples: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 4, 4: 4, 6: 4 };
  return {
    width,
    height,
    reductions: [1],
    pixelBytes: samples[colour] * Math.max(1, depth >> 3),
    orientation: 1,
    applied: 1,
    components: 3,
    sampleBits: depth === 16 ? significantBits(data) : 0,
  };
}

/** Returns the largest number in sBIT (PNG specification, 11.3.2.4); 0 if there is none, or if it is 16. */
function significantBits(data: Uint8Array): number {
  const name = findBeforeData(data, "sBIT");
  if (name < 0) return 0;
  const length = new DataView(data.buffer, data.byteOffset).getUint32(name - 4);
  return Math.max(0, ...data.subarray(name + 4, name + 4 + Math.min(length, 4))) % 16;
}

/**
 * Decodes a JPEG or PNG file; the EXIF orientation is applied.
 *
 * @param decoder for JPEG files
 * @param data the bytes of the file
 * @param reduction one of `header.reductions`
 * @param header `readHeader(data)`
 * @param bits how samples of sixteen bits are converted; see `samples.ts`
 */
export async function decodeRgb(
  decoder: jpeg.JpegDecoder,
  data: Uint8Array,
  reduction: number,
  header: Header,
  bits: number | null,
): Promise<Picture> {
  if (isJpeg(data)) return decodeJpeg(decoder, data, reduction, header);
  if (pngEnd(data) > data.length) throw truncated(data.length);
  return toPicture(await decodePng(data), bits, header.sampleBits);
}

function decodeJpeg(decoder: jpeg.JpegDecoder, data: Uint8Array, reduction: number, header: Header): Picture {
  const known = jpeg.hasSeveralScans(data, header.components) ? jpeg.checkScans(data) : null;
  const isUpright = header.orientation === 1;
  const isCommon = header.components === 1 || header.components === 3;
  const scale = isUpright && isCommon ? reduction : 8;
  let picture = isCommon ? jpeg.decodeStrictly(decoder, data, scale) : null;
  if (!picture) {
    checkByFilling(decoder, data, known ?? jpeg.checkScans(data));
    picture = jpeg.decodeLoosely(decoder, data, reduction);
  } else if (scale !== reduction) {
    picture = jpeg.decodeLoosely(decoder, data, reduction);
  }
  if (!picture) throw notAPhotograph(data);
  return applyOrientation(picture, header.applied);
}

/** Refuses a picture that changes if meaningless data is appended to its own, because it lacked data there. */
function checkByFilling(decoder: jpeg.JpegDecoder, data: Uint8Array, frame: jpeg.Frame): void {
  if (jpeg.lacksRestarts(data, frame)) throw truncated(data.length);
  const before = jpeg.decodeLoosely(decoder, data, 1);
  const after = jpeg.decodeLoosely(decoder, jpeg.withFilling(data, frame), 1);
  if (!before || !after) throw notAPhotograph(data);
  if (before.pixels.some((value, index) => value !== after.pixels[index])) throw truncated(data.length);
}
