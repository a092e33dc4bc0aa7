// Masks of a thumbnail, and what OpenCV computes from them: opening, outlines, areas.

/** A mask: `on` is 1 or 0 for each pixel, row by row. */
export interface Mask {
  readonly on: Uint8Array;
  readonly width: number;
  readonly height: number;
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** A connected bright part that lies in no hole of another one. */
export interface Part {
  readonly outline: Point[];
  readonly area: number;
  /** 1 for each pixel that belongs to it. */
  readonly on: Uint8Array;
}

// cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5)), as offsets from its centre
const ELLIPSE: readonly (readonly [number, number])[] = [
  [0, -2],
  ...[-1, 0, 1].flatMap((row) => [-2, -1, 0, 1, 2].map((column) => [column, row] as const)),
  [0, 2],
];
// the eight neighbours of a pixel in the order of OpenCV's chain code: right, upper right, up, ...
const ACROSS = [1, 1, 0, -1, -1, -1, 0, 1];
const DOWN = [0, -1, -1, -1, 0, 1, 1, 1];

/** Erodes, then dilates by an ellipse of 5 x 5; pixels outside the mask have no effect. */
export function open(mask: Mask): Mask {
  return morph(morph(mask, 1), 0);
}

/** Returns a mask that is `1 - value` where any pixel under the ellipse is; `value` 1 erodes and 0 dilates. */
function morph({ on, width, height }: Mask, value: 0 | 1): Mask {
  const other = 1 - value;
  const result = new Uint8Array(on.length).fill(value);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (const [across, down] of ELLIPSE) {
        const column = x + across;
        const row = y + down;
        const isInside = column >= 0 && row >= 0 && column < width && row < height;
        if (isInside && on[row * width + column] === other) {
          result[y * width + x] = other;
          break;
        }
      }
    }
  }
  return { on: result, width, height };
}

/** Returns 1 for each pixel that is reached from the border, over sides, by pixels that are not in `barrier`. */
function outside(barrier: Uint8Array, width: number, height: number): Uint8Array {
  const reached = new Uint8Array(barrier.length);
  const waiting: number[] = [];
  const reach = (x: number, y: number): void => {
    const place = y * width + x;
    if (x < 0 || y < 0 || x >= width || y >= height || barrier[place] || reached[place]) return;
    reached[place] = 1;
    waiting.push(place);
  };
  for (let x = 0; x < width; x++) {
    reach(x, 0);
    reach(x, height - 1);
  }
  for (let y = 0; y < height; y++) {
    reach(0, y);
    reach(width - 1, y);
  }
  while (waiting.length > 0) {
    const place = waiting.pop()!;
    const x = place % width;
    const y = (place - x) / width;
    reach(x - 1, y);
    reach(x + 1, y);
    reach(x, y - 1);
    reach(x, y + 1);
  }
  return reached;
}

/** Returns the outer parts of a mask, as cv2.findContours with RETR_EXTERNAL finds them, from top to bottom. */
export function contours({ on, width, height }: Mask): Part[] {
  const background = outside(on, width, height);
  const seen = new Uint8Array(on.length);
  const parts: Part[] = [];
  for (let place = 0; place < on.length; place++) {
    if (!on[place] || seen[place]) continue;
    const part = connected(on, width, height, place, seen);
    const x = place % width;
    if (x > 0 && !background[place - 1]) continue; // it lies in a hole
    const outline = trace(part, width, height, { x, y: (place - x) / width });
    parts.push({ outline, area: areaOf(outline), on: part });
  }
  return parts;
}

/** Returns 1 for each pixel that is connected with `start`, also over corners; they are marked in `seen` as well. */
function connected(on: Uint8Array, width: number, height: number, start: number, seen: Uint8Array): Uint8Array {
  const part = new Uint8Array(on.length);
  part[start] = 1;
  seen[start] = 1;
  const waiting = [start];
  while (waiting.length > 0) {
    const place = waiting.pop()!;
    const x = place % width;
    const y = (place - x) / width;
    for (let direction = 0; direction < 8; direction++) {
      const column = x + ACROSS[direction];
      const row = y + DOWN[direction];
      const next = row * width + column;
      if (column < 0 || row < 0 || column >= width || row >= height || !on[next] || part[next]) continue;
      part[next] = 1;
      seen[next] = 1;
      waiting.push(next);
    }
  }
  return part;
}

/** Follows the outer border of a part from its first pixel (Suzuki and Abe 1985, as OpenCV does). */
function trace(on: Uint8Array, width: number, height: number, start: Point): Point[] {
  const isOn = ({ x, y }: Point): boolean => x >= 0 && y >= 0 && x < width && y < height && on[y * width + x] === 1;
  const next = ({ x, y }: Point, direction: number): Point => ({ x: x + ACROSS[direction], y: y + DOWN[direction] });
  const same = (first: Point, second: Point): boolean => first.x === second.x && first.y === second.y;
  let direction = 4;
  let last: Point;
  do {
    direction = (direction - 1) & 7;
    last = next(start, direction);
  } while (!isOn(last) && direction !== 4);
  if (direction === 4) return [start];
  const points: Point[] = [];
  let current = start;
  for (;;) {
    let following: Point;
    do {
      direction = (direction + 1) & 7;
      following = next(current, direction);
    } while (!isOn(following));
    points.push(current);
    if (same(following, start) && same(current, last)) return points;
    current = following;
    direction = (direction + 4) & 7;
  }
}

/** Returns the part with its holes. */
export function filled({ width, height }: Mask, part: Part): Mask {
  const around = outside(part.on, width, height);
  return { on: around.map((value) => 1 - value), width, height };
}

/** The area within an outline, by Gauss's formula, as cv2.contourArea computes it. */
export function areaOf(outline: readonly Point[]): number {
  let twice = 0;
  let previous = outline[outline.length - 1];
  for (const point of outline) {
    twice += previous.x * point.y - previous.y * point.x;
    previous = point;
  }
  return Math.abs(twice) / 2;
}
