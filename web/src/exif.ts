// Reads the orientation in the EXIF data of a JPEG, as keras_dr/core/tiff.py and headers.py do, and applies it.

import type { Picture } from "./picture.ts";

const ORIENTATION = 0x0112;
// type of a number -> its size in bytes: SHORT, LONG, IFD, LONG8 (TIFF 6.0, section 2; BigTIFF)
const SIZES: Readonly<Record<number, number>> = { 3: 2, 4: 4, 13: 4, 16: 8 };

/** Returns the orientation, 1 if it is not named; 0 if the data is broken. */
export function readOrientation(exif: Uint8Array): number {
  try {
    return findOrientation(new DataView(exif.buffer, exif.byteOffset, exif.byteLength));
  } catch (error) {
    if (error instanceof RangeError) return 0; // it ends within the directory
    throw error;
  }
}

function findOrientation(view: DataView): number {
  const order = view.getUint16(0);
  if (order !== 0x4949 && order !== 0x4d4d) return 0;
  const little = order === 0x4949;
  const isBig = view.getUint16(2, little) === 43;
  const long = (place: number): number => Number(view.getBigUint64(place, little));
  const offsetAt = (place: number): number => (isBig ? long(place) : view.getUint32(place, little));
  const offsetSize = isBig ? 8 : 4;
  const directory = offsetAt(isBig ? 8 : 4);
  const count = isBig ? long(directory) : view.getUint16(directory, little);
  const start = directory + (isBig ? 8 : 2);
  const step = isBig ? 20 : 12;
  let orientation = 1;
  let isFound = false;
  for (let entry = start; entry < start + count * step; entry += step) {
    const tag = view.getUint16(entry, little);
    const size = SIZES[view.getUint16(entry + 2, little)];
    if (!size) continue;
    const numbers = offsetAt(entry + 4);
    let place = entry + (isBig ? 12 : 8);
    if (numbers * size > offsetSize) place = offsetAt(place);
    if (tag !== ORIENTATION || isFound || place > view.byteLength - size) continue;
    isFound = true;
    orientation = size === 2 ? view.getUint16(place, little) : size === 4 ? view.getUint32(place, little) : long(place);
  }
  return orientation;
}

/** Turns and mirrors a picture as its EXIF orientation says, 1 to 8; others leave it as it is. */
export function applyOrientation(picture: Picture, orientation: number): Picture {
  if (orientation < 2 || orientation > 8) return picture;
  const isSideways = orientation >= 5;
  const width = isSideways ? picture.height : picture.width;
  const height = isSideways ? picture.width : picture.height;
  const mirrorsColumns = [2, 3, 7, 8].includes(orientation);
  const mirrorsRows = [3, 4, 6, 7].includes(orientation);
  const pixels = new Uint8Array(picture.pixels.length);
  let place = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const storedX = isSideways ? y : x;
      const storedY = isSideways ? x : y;
      const column = mirrorsColumns ? picture.width - 1 - storedX : storedX;
      const row = mirrorsRows ? picture.height - 1 - storedY : storedY;
      const from = (row * picture.width + column) * 3;
      pixels[place++] = picture.pixels[from];
      pixels[place++] = picture.pixels[from + 1];
      pixels[place++] = picture.pixels[from + 2];
    }
  }
  return { pixels, width, height };
}
