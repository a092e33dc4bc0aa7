// Finds the fundus in a photograph, whether the photograph was squashed, and whether it shows two fundi: the same
// definition as keras_dr/core/fundus.py, whose comments give the sources and the reasons for the limits.

import { areaOf, contours, filled, open, type Mask, type Point } from "./masks.ts";
import { roundHalfEven, solve } from "./numbers.ts";
import { resizeArea, type Picture } from "./picture.ts";

export const THUMBNAIL = 256; // longest side in pixels of the copy in which the fundus is searched for
const THIN = 40;
const SQUASHED = 1.05;
const MOST_SQUASHED = 3;
const KEPT = 0.6;
const CLOSE = 0.02;
const BETTER = 2;
const ROUND = 0.01;
const SECOND = 0.25;
const APART = 0.75;
const ALIKE = 2;
const LONG = 1.6;
const MIDDLE = 12; // place of the median among 25 levels

/** The circle of the fundus in pixels of the photograph; (0, 0) is the centre of the first pixel. */
export interface Fundus {
  readonly x: number;
  readonly y: number;
  readonly radius: number;
}

/** What the outlines of the bright parts show; see `Finding` in Python. */
export interface Finding {
  readonly fundus: Fundus | null;
  readonly widen: number;
  readonly heighten: number;
  readonly several: boolean;
}

interface Ellipse {
  readonly x: number;
  readonly y: number;
  readonly across: number;
  readonly down: number;
}

const NOTHING: Finding = { fundus: null, widen: 1, heighten: 1, several: false };

/** Returns the circle in the photograph enlarged by a factor. */
export function scaled(circle: Fundus, factor: number): Fundus {
  const shift = (factor - 1) / 2;
  return { x: circle.x * factor + shift, y: circle.y * factor + shift, radius: circle.radius * factor };
}

/** Finds the circle of the fundus; null if there is no bright disc on a dark surround. */
export function findFundus(picture: Picture): Fundus | null {
  return examine(picture).fundus;
}

/** Finds the fundus, the factor by which the photograph was squashed, and a second fundus. */
export function examine(picture: Picture): Finding {
  if (Math.max(picture.width, picture.height) > THIN * Math.min(picture.width, picture.height)) return NOTHING;
  const { small, factor } = thumbnail(picture);
  const foreground = findForeground(small);
  if (!foreground) return NOTHING;
  const { mask, outlines } = foreground;
  const [outline] = outlines;
  const circle = fitCircle(outline, mask);
  const fundus = circle && isPlausible(circle, mask) ? scaled(circle, factor) : null;
  const points = inner(outline, mask);
  const circleDistance = circle ? typical(distances(asEllipse(circle), points)) : Infinity;
  if (outlines.length === 1 && circleDistance < ROUND) return { ...NOTHING, fundus };
  if (showsSeveral(outlines, mask)) return { ...NOTHING, fundus, several: true };
  return { ...NOTHING, fundus, ...findStretch(points, circleDistance) };
}

/** The circle through the centres of the outline's pixels; the circle of a fundus is at their outer edge. */
function asEllipse(circle: Fundus): Ellipse {
  return { x: circle.x, y: circle.y, across: circle.radius - 0.5, down: circle.radius - 0.5 };
}

/** Returns how far each point lies from the ellipse, in shares of its radius. */
function distances(ellipse: Ellipse, points: readonly Point[]): number[] {
  return points.map(({ x, y }) => {
    return Math.abs(Math.hypot((x - ellipse.x) / ellipse.across, (y - ellipse.y) / ellipse.down) - 1);
  });
}

function thumbnail(picture: Picture): { small: Picture; factor: number } {
  const factor = Math.max(1, Math.max(picture.width, picture.height) / THUMBNAIL);
  let small = picture;
  while (Math.max(small.width, small.height) >= 2 * THUMBNAIL) small = halved(small);
  const width = Math.max(1, roundHalfEven(picture.width / factor));
  const height = Math.max(1, roundHalfEven(picture.height / factor));
  return { small: resizeArea(small, width, height), factor };
}

/** Returns the mean of each block of 2 x 2 pixels; an odd last row or column is left out. */
function halved(picture: Picture): Picture {
  const width = picture.width >> 1;
  const height = picture.height >> 1;
  const stride = picture.width * 3;
  const source = picture.pixels;
  const pixels = new Uint8Array(width * height * 3);
  let place = 0;
  for (let y = 0; y < height; y++) {
    let upper = 2 * y * stride;
    let lower = upper + stride;
    for (let x = 0; x < width; x++, upper += 3, lower += 3) {
      for (let channel = 0; channel < 3; channel++, upper++, lower++) {
        pixels[place++] = (source[upper] + source[upper + 3] + source[lower] + source[lower + 3] + 2) >> 2;
      }
    }
  }
  return { pixels, width, height };
}

/** Returns the brightest channel of each pixel after a median of 5 x 5; border pixels are repeated. */
function smoothedLight({ pixels, width, height }: Picture): Uint8Array {
  const brightest = new Uint8Array(width * height);
  for (let index = 0; index < brightest.length; index++) {
    brightest[index] = Math.max(pixels[3 * index], pixels[3 * index + 1], pixels[3 * index + 2]);
  }
  const light = new Uint8Array(width * height);
  const inside = (place: number, size: number): number => Math.max(0, Math.min(size - 1, place));
  const counts = new Uint8Array(256); // of the levels in the window, which moves along a row (Huang et al. 1979)
  const starts = new Int32Array(5);
  for (let y = 0; y < height; y++) {
    for (let down = 0; down < 5; down++) starts[down] = inside(y + down - 2, height) * width;
    counts.fill(0);
    let median = 0;
    let below = 0; // how many levels in the window are below the median
    for (let across = -3; across <= 1; across++) {
      for (const start of starts) counts[brightest[start + inside(across, width)]]++;
    }
    for (let x = 0; x < width; x++) {
      const leaving = inside(x - 3, width);
      const coming = inside(x + 2, width);
      for (const start of starts) {
        const old = brightest[start + leaving];
        const added = brightest[start + coming];
        counts[old]--;
        counts[added]++;
        if (old < median) below--;
        if (added < median) below++;
      }
      while (below > MIDDLE) below -= counts[--median];
      while (below + counts[median] <= MIDDLE) below += counts[median++];
      light[y * width + x] = median;
    }
  }
  return light;
}

/** Returns the largest bright part, filled, and the outlines of the large parts, the largest first; null if none. */
function findForeground(small: Picture): { mask: Mask; outlines: Point[][] } | null {
  const { width, height } = small;
  if (Math.min(width, height) < 8) return null;
  const light = smoothedLight(small);
  const surround = levelAtRank(light, 0.01 * light.length);
  const bright = levelAtRank(light, 0.95 * light.length);
  if (bright - surround < 8) return null;
  const threshold = surround + Math.max(3, 0.1 * (bright - surround));
  const mask = open({ on: light.map((level) => (level > threshold ? 1 : 0)), width, height });
  const parts = contours(mask);
  if (parts.length === 0) return null;
  const largest = parts.reduce((best, part) => (part.area >= best.area ? part : best));
  const others = parts.filter((part) => part !== largest && part.area >= SECOND * largest.area);
  return { mask: filled(mask, largest), outlines: [largest, ...others].map((part) => part.outline) };
}

/** Returns the first level at which the cumulative histogram reaches a rank. */
function levelAtRank(levels: Uint8Array, rank: number): number {
  const counts = new Uint32Array(256);
  for (const level of levels) counts[level]++;
  let sum = 0;
  for (let level = 0; level < 256; level++) {
    sum += counts[level];
    if (sum >= rank) return level;
  }
  return 256;
}

/** Returns the points of an outline that do not lie on the border of the thumbnail. */
function inner(outline: readonly Point[], { width, height }: Mask): Point[] {
  return outline.filter(({ x, y }) => x > 2 && y > 2 && x < width - 3 && y < height - 3);
}

function fitCircle(outline: readonly Point[], mask: Mask): Fundus | null {
  let points = inner(outline, mask);
  let circle = kasa(points);
  for (const share of [0.9, 0.8]) {
    if (!circle) return null;
    const { x, y, radius } = circle;
    const away = points.map((point) => Math.abs(Math.hypot(point.x - x, point.y - y) - radius));
    const limit = ranked(away, share);
    points = points.filter((_, index) => away[index] <= limit);
    circle = kasa(points);
  }
  return circle;
}

function centreOf(points: readonly Point[]): Point {
  let x = 0;
  let y = 0;
  for (const point of points) {
    x += point.x;
    y += point.y;
  }
  return { x: x / points.length, y: y / points.length };
}

/** Returns the least-squares solution of rows . unknowns = right by its normal equations; null if they are singular. */
function leastSquares(rows: readonly (readonly number[])[], right: readonly number[]): number[] | null {
  const count = rows[0].length;
  const matrix = Array.from({ length: count }, () => new Array<number>(count).fill(0));
  const vector = new Array<number>(count).fill(0);
  rows.forEach((row, index) => {
    for (let first = 0; first < count; first++) {
      vector[first] += row[first] * right[index];
      for (let second = 0; second < count; second++) matrix[first][second] += row[first] * row[second];
    }
  });
  return solve(matrix, vector);
}

/** Returns the best circle at the outer edge of the pixels at the points, or null. */
function kasa(points: readonly Point[]): Fundus | null {
  if (points.length < 24) return null;
  const centre = centreOf(points);
  const shifted = points.map(({ x, y }) => ({ x: x - centre.x, y: y - centre.y }));
  const rows = shifted.map(({ x, y }) => [2 * x, 2 * y, 1]);
  const solution = leastSquares(
    rows,
    shifted.map(({ x, y }) => x * x + y * y),
  );
  if (!solution) return null;
  const [x, y, c] = solution;
  return { x: x + centre.x, y: y + centre.y, radius: Math.sqrt(Math.max(c + x * x + y * y, 0)) + 0.5 };
}

/** Whether the circle has the size of a fundus, and its inside is foreground and its outside not (each to 85 %). */
function isPlausible(circle: Fundus, { on, width, height }: Mask): boolean {
  const { x: centreX, y: centreY, radius } = circle;
  if (radius < 0.2 * Math.min(width, height) || radius > 0.75 * Math.max(width, height)) return false;
  let inside = 0;
  let bright = 0;
  let hit = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const isInside = (x - centreX) ** 2 + (y - centreY) ** 2 <= radius ** 2;
      const isBright = on[y * width + x] === 1;
      if (isInside) inside++;
      if (isBright) bright++;
      if (isInside && isBright) hit++;
    }
  }
  if (inside === 0 || inside === on.length) return false;
  return hit >= 0.85 * inside && bright - hit <= 0.15 * (on.length - inside);
}

function fitEllipse(points: readonly Point[]): Ellipse | null {
  let ellipse = ellipseThrough(points);
  for (let round = 0; round < 6; round++) {
    if (!ellipse) return null;
    const away = distances(ellipse, points);
    const limit = typical(away);
    ellipse = ellipseThrough(points.filter((_, index) => away[index] <= limit));
  }
  return ellipse;
}

/** Fits an ellipse as Kasa fits a circle, with one more unknown: x^2 + k y^2 = 2 a x + 2 b y + c. */
function ellipseThrough(points: readonly Point[]): Ellipse | null {
  if (points.length < 24) return null;
  const centre = centreOf(points);
  const across = spread(points.map(({ x }) => x));
  const down = spread(points.map(({ y }) => y));
  const unit = Math.max(across, down) / 2;
  const shifted = points.map(({ x, y }) => ({ x: (x - centre.x) / unit, y: (y - centre.y) / unit }));
  const solution = leastSquares(
    shifted.map(({ x, y }) => [2 * x, 2 * y, 1, -(y * y)]),
    shifted.map(({ x }) => x * x),
  );
  if (!solution) return null;
  const [a, b, c, k] = solution;
  if (!(k > 1 / MOST_SQUASHED ** 2 && k < MOST_SQUASHED ** 2)) return null;
  const half = Math.sqrt(Math.max(c + a * a + (b * b) / k, 0)) * unit;
  return { x: a * unit + centre.x, y: (b / k) * unit + centre.y, across: half, down: half / Math.sqrt(k) };
}

function spread(values: readonly number[]): number {
  return Math.max(...values) - Math.min(...values);
}

/** Returns the factors by which a squashed photograph must become wider and higher. */
function findStretch(points: readonly Point[], circleDistance: number): { widen: number; heighten: number } {
  const asItIs = { widen: 1, heighten: 1 };
  const ellipse = fitEllipse(points);
  if (!ellipse) return asItIs;
  const ratio = (ellipse.down + 0.5) / (ellipse.across + 0.5);
  const distance = typical(distances(ellipse, points));
  if (Math.max(ratio, 1 / ratio) < SQUASHED || distance > CLOSE || circleDistance < BETTER * distance) return asItIs;
  return ratio > 1 ? { widen: ratio, heighten: 1 } : { widen: 1, heighten: 1 / ratio };
}

/** Returns the distance within which the share `KEPT` of the points lies; infinity if there are no points. */
function typical(values: readonly number[]): number {
  return values.length > 0 ? ranked(values, KEPT) : Infinity;
}

/** Returns the distance that a share of the distances does not exceed. */
function ranked(values: readonly number[], share: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.trunc(share * (values.length - 1))];
}

/** Whether two of the bright parts, or the halves of a long part, are discs at a distance from each other. */
function showsSeveral(outlines: readonly Point[][], mask: Mask): boolean {
  const discs: Ellipse[] = [];
  for (const outline of outlines) {
    const whole = discOf(outline, mask);
    const parts = whole ? [whole] : halves(outline).map((half) => discOf(half, mask));
    for (const part of parts) if (part) discs.push(part);
  }
  return discs.some((first, index) => discs.slice(index + 1).some((second) => areTwo(first, second)));
}

/** Returns the halves of the outline of a long bright part, cut across its middle; [] if the part is not long. */
function halves(outline: readonly Point[]): Point[][] {
  const columns = outline.map(({ x }) => x);
  const rows = outline.map(({ y }) => y);
  const across = spread(columns) + 1;
  const down = spread(rows) + 1;
  if (Math.max(across, down) < LONG * Math.min(across, down)) return [];
  const along = across >= down ? columns : rows;
  const middle = (Math.min(...along) + Math.max(...along)) / 2;
  return [outline.filter((_, index) => along[index] < middle), outline.filter((_, index) => along[index] >= middle)];
}

/** Returns the ellipse that an outline follows and fills, or null. */
function discOf(outline: readonly Point[], mask: Mask): Ellipse | null {
  const points = inner(outline, mask);
  const ellipse = fitEllipse(points);
  if (!ellipse || typical(distances(ellipse, points)) > CLOSE) return null;
  return areaOf(outline) >= 0.6 * Math.PI * ellipse.across * ellipse.down ? ellipse : null;
}

function areTwo(first: Ellipse, second: Ellipse): boolean {
  const firstRadius = Math.sqrt(first.across * first.down);
  const secondRadius = Math.sqrt(second.across * second.down);
  const across = (first.x - second.x) / (first.across + second.across);
  const down = (first.y - second.y) / (first.down + second.down);
  const areAlike = Math.max(firstRadius, secondRadius) <= ALIKE * Math.min(firstRadius, secondRadius);
  return areAlike && Math.hypot(across, down) >= APART;
}
