// Drawing of a heat map over its prepared image, after keras_dr/core/overlay.py.

import type { Picture } from "./picture.ts";

export const OPACITY = 0.6; // at the hottest point
// OpenCV's COLORMAP_VIRIDIS: 256 colours, each red, green and blue in hexadecimal digits
const VIRIDIS_DIGITS =
  "44015444025645045745055946075a46085c460a5d460b5e470d60470e6147106347116447136548146748166848176948186a481a6c" +
  "481b6d481c6e481d6f481f70482071482173482374482475482576482677482878482979472a7a472c7a472d7b472e7c472f7d46307e" +
  "46327e46337f463480453581453781453882443983443a83443b84433d84433e85423f85424086424186414287414487404588404688" +
  "3f47883f48893e49893e4a893e4c8a3d4d8a3d4e8a3c4f8a3c508b3b518b3b528b3a538b3a548c39558c39568c38588c38598c375a8c" +
  "375b8d365c8d365d8d355e8d355f8d34608d34618d33628d33638d32648e32658e31668e31678e31688e30698e306a8e2f6b8e2f6c8e" +
  "2e6d8e2e6e8e2e6f8e2d708e2d718e2c718e2c728e2c738e2b748e2b758e2a768e2a778e2a788e29798e297a8e297b8e287c8e287d8e" +
  "277e8e277f8e27808e26818e26828e26828e25838e25848e25858e24868e24878e23888e23898e238a8d228b8d228c8d228d8d218e8d" +
  "218f8d21908d21918c20928c20928c20938c1f948c1f958b1f968b1f978b1f988b1f998a1f9a8a1e9b8a1e9c891e9d891f9e891f9f88" +
  "1fa0881fa1881fa1871fa28720a38620a48621a58521a68522a78522a88423a98324aa8325ab8225ac8226ad8127ad8128ae8029af7f" +
  "2ab07f2cb17e2db27d2eb37c2fb47c31b57b32b67a34b67935b77937b87838b9773aba763bbb753dbc743fbc7340bd7242be7144bf70" +
  "46c06f48c16e4ac16d4cc26c4ec36b50c46a52c56954c56856c66758c7655ac8645cc8635ec96260ca6063cb5f65cb5e67cc5c69cd5b" +
  "6ccd5a6ece5870cf5773d05675d05477d1537ad1517cd2507fd34e81d34d84d44b86d54989d5488bd6468ed64590d74393d74195d840" +
  "98d83e9bd93c9dd93ba0da39a2da37a5db36a8db34aadc32addc30b0dd2fb2dd2db5de2bb8de29bade28bddf26c0df25c2df23c5e021" +
  "c8e020cae11fcde11dd0e11cd2e21bd5e21ad8e219dae319dde318dfe318e2e418e5e419e7e419eae51aece51befe51cf1e51df4e61e" +
  "f6e620f8e621fbe723fde725";
const VIRIDIS = Uint8Array.from(VIRIDIS_DIGITS.match(/../g)!, (digits) => parseInt(digits, 16));

/** Evidence for one class: float32, row by row. */
export interface HeatMap {
  readonly values: Float32Array;
  readonly width: number;
  readonly height: number;
}

/** Divides positive evidence by its maximum; zeros if there is none. */
export function normalise(map: HeatMap): HeatMap {
  const positive = map.values.map((value) => Math.max(value, 0));
  const peak = positive.reduce((largest, value) => Math.max(largest, value), 0);
  return { ...map, values: peak > 0 ? positive.map((value) => value / peak) : positive };
}

/** Enlarges a heat map by bilinear interpolation to `size` squared. */
export function enlarge(map: HeatMap, size: number): Float32Array {
  const columns = Array.from({ length: size }, (_, index) => place(index, map.width, size));
  const rows = Array.from({ length: size }, (_, index) => place(index, map.height, size));
  const result = new Float32Array(size * size);
  for (let y = 0; y < size; y++) {
    const row = rows[y];
    for (let x = 0; x < size; x++) {
      const column = columns[x];
      const along = (line: number): number => {
        const start = line * map.width;
        return (1 - column.share) * map.values[start + column.first] + column.share * map.values[start + column.second];
      };
      result[y * size + x] = (1 - row.share) * along(row.first) + row.share * along(row.second);
    }
  }
  return result;
}

function place(index: number, length: number, size: number): { first: number; second: number; share: number } {
  const at = (index + 0.5) * (length / size) - 0.5;
  const below = Math.floor(at);
  if (below < 0) return { first: 0, second: 0, share: 0 };
  if (below >= length - 1) return { first: length - 1, second: length - 1, share: 0 };
  return { first: below, second: below + 1, share: Math.fround(at - below) };
}

/**
 * Returns the colours of a heat map as RGBA bytes, more opaque where it is hotter; the black surround is transparent.
 *
 * @param image the prepared image
 * @param map evidence of any scale
 * @param opacity at the hottest point, 0..1
 */
export function heatLayer(image: Picture, map: HeatMap, opacity = OPACITY): Uint8ClampedArray<ArrayBuffer> {
  const heat = enlarge(normalise(map), image.width);
  const layer = new Uint8ClampedArray(4 * heat.length);
  heat.forEach((value, pixel) => {
    const { pixels } = image;
    const isBlack = pixels[3 * pixel] === 0 && pixels[3 * pixel + 1] === 0 && pixels[3 * pixel + 2] === 0;
    const level = 3 * Math.round(255 * value);
    layer.set(VIRIDIS.subarray(level, level + 3), 4 * pixel);
    layer[4 * pixel + 3] = isBlack ? 0 : 255 * opacity * value;
  });
  return layer;
}
