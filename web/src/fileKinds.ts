// The kind of a file that cannot be read as a photograph, by its first bytes, and what the user can do with it; after
// keras_dr/core/file_kinds.py.

import { COPY_AGAIN, KerasDrError } from "./errors.ts";
import { rareKind } from "./jpeg.ts";

const CONVERT = "Export the photograph as PNG or JPEG, with the program that wrote it.";
const EXPORT = "Export the photograph as PNG from the viewer or the archive that it came from.";
const NAME_PHOTOGRAPHS = "Choose the photographs themselves.";
const UNPACK = "Unpack it, and choose the photographs.";
const FRAME = "Save one frame of it as PNG.";
const READ_ELSEWHERE = "Save it as PNG or JPEG, or grade it with the command keras-dr-edge, which reads it.";

// the note in a PNG file that keras_dr drew; after keras_dr/core/png_marks.py
const DRAWN_PLACE = 37;
const DRAWN = "tEXtSoftware\0keras_dr ";

/** A mark: its place in the file, the mark itself as text of bytes, the kind, and what to do. */
type Mark = readonly [place: number, mark: string, kind: string, remedy: string];

const MARKS: readonly Mark[] = [
  [0, "II*\0", "a TIFF picture", READ_ELSEWHERE],
  [0, "MM\0*", "a TIFF picture", READ_ELSEWHERE],
  [0, "II+\0", "a TIFF picture", READ_ELSEWHERE],
  [0, "MM\0+", "a TIFF picture", READ_ELSEWHERE],
  [0, "BM", "a BMP picture", READ_ELSEWHERE],
  [0, "P5", "a PGM picture", READ_ELSEWHERE],
  [0, "P6", "a PPM picture", READ_ELSEWHERE],
  [8, "WEBP", "a WebP picture", READ_ELSEWHERE],
  [8, "AVI ", "a video", FRAME],
  [128, "DICM", "a DICOM file", EXPORT],
  [0, "GIF87a", "a GIF picture", CONVERT],
  [0, "GIF89a", "a GIF picture", CONVERT],
  [0, "\0\0\0\x0cjP  ", "a JPEG 2000 picture", CONVERT],
  [0, "\xff\x4f\xff\x51", "a JPEG 2000 picture", CONVERT],
  [0, "\0\0\0\x0cJXL ", "a JPEG XL picture", CONVERT],
  [0, "\xff\x0a", "a JPEG XL picture", CONVERT],
  [0, "8BPS", "a Photoshop document", CONVERT],
  [0, "%PDF", "a PDF document", CONVERT],
  [0, "\x93NUMPY", "a NumPy array", CONVERT],
  [0, "\x89HDF\r\n", "an HDF5 file", CONVERT],
  [0, "SIMPLE  =", "a FITS file", CONVERT],
  [344, "n+1\0", "a NIfTI file", EXPORT],
  [0, "v/1\x01", "an OpenEXR picture", CONVERT],
  [0, "\0\0\x01\0", "an icon", CONVERT],
  [0, "PAR1", "a Parquet table", NAME_PHOTOGRAPHS],
  [0, "SQLite format 3", "a database", NAME_PHOTOGRAPHS],
  [0, "\xd0\xcf\x11\xe0", "an old Excel workbook or another Office document", NAME_PHOTOGRAPHS],
  [0, "\x1f\x8b", "a gzip archive", UNPACK],
  [0, "7z\xbc\xaf", "a 7z archive", UNPACK],
  [0, "Rar!", "a RAR archive", UNPACK],
  [0, "PK\x03\x04", "a ZIP archive or an Office document", UNPACK],
  [257, "ustar", "a TAR archive", UNPACK],
  [0, "\x1a\x45\xdf\xa3", "a video", FRAME],
  [DRAWN_PLACE, DRAWN, "a picture that keras_dr drew", NAME_PHOTOGRAPHS],
  [4, "ftypavif", "an AVIF picture", CONVERT],
  [4, "ftypheic", "a HEIC picture", CONVERT],
  [4, "ftypheix", "a HEIC picture", CONVERT],
  [4, "ftypmif1", "a HEIC picture", CONVERT],
  [4, "ftyp", "a video", FRAME],
];

function hasMark(data: Uint8Array, place: number, mark: string): boolean {
  if (data.length < place + mark.length) return false;
  return [...mark].every((letter, index) => data[place + index] === letter.charCodeAt(0));
}

export function isJpeg(data: Uint8Array): boolean {
  return hasMark(data, 0, "\xff\xd8\xff");
}

/** Whether it is a PNG file of a photograph, not one that keras_dr drew. */
export function isPng(data: Uint8Array): boolean {
  return hasMark(data, 0, "\x89PNG\r\n\x1a\n") && !hasMark(data, DRAWN_PLACE, DRAWN);
}

/** Returns the error for a file that cannot be read as a photograph. */
export function notAPhotograph(data: Uint8Array): KerasDrError {
  if (data.length === 0) return new KerasDrError("The photograph is an empty file.", COPY_AGAIN);
  const rare = isJpeg(data) ? rareKind(data) : "";
  const known = MARKS.find(([place, mark]) => hasMark(data, place, mark));
  const kind = rare || known?.[2] || describeText(data);
  if (kind) {
    const remedy = rare ? CONVERT : (known?.[3] ?? NAME_PHOTOGRAPHS);
    return new KerasDrError(`The file is ${kind}, which this page cannot read as a photograph.`, remedy);
  }
  const begun = isPng(data) ? "PNG" : hasMark(data, 0, "\xff\xd8") ? "JPEG" : "";
  if (begun) {
    const problem = `The photograph begins as a ${begun} picture, but it is truncated or damaged, so that no decoder can`;
    return new KerasDrError(`${problem} read its ${data.length} bytes.`, COPY_AGAIN);
  }
  const problem = `The file is not a photograph in a known format; no decoder can read its ${data.length} bytes.`;
  return new KerasDrError(problem, "Known formats are JPEG and PNG. If it has one of these, copy it again.");
}

function describeText(data: Uint8Array): string {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(data.subarray(0, 4096), { stream: true }).trim();
  } catch {
    return "";
  }
  if (!text || /[^\P{C}\r\n\t]/u.test(text)) return "";
  if (text.startsWith("<")) return text.includes("<svg") ? "an SVG drawing" : "a web page or an XML file";
  return "a text file";
}
