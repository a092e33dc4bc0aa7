// Arithmetic that follows Python and OpenCV to the last bit.

/** Rounds to the nearest whole number, halves to the even one, as Python's round() and OpenCV's cvRound do. */
export function roundHalfEven(value: number): number {
  const rounded = Math.round(value);
  const isHalf = Math.abs(value % 1) === 0.5;
  return isHalf && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

/** Rounds and limits to 0..255, as OpenCV's saturate_cast<uchar> does. */
export function toByte(value: number): number {
  if (value <= 0) return 0;
  if (value >= 255) return 255;
  const rounded = (value + 0.5) | 0;
  return rounded - value === 0.5 && (rounded & 1) === 1 ? rounded - 1 : rounded;
}

/** Solves a system of linear equations by Gaussian elimination with partial pivoting; null if it is singular. */
export function solve(matrix: readonly (readonly number[])[], right: readonly number[]): number[] | null {
  const size = right.length;
  const rows = matrix.map((row, index) => [...row, right[index]]);
  for (let column = 0; column < size; column++) {
    let pivot = column;
    for (let row = column + 1; row < size; row++) {
      if (Math.abs(rows[row][column]) > Math.abs(rows[pivot][column])) pivot = row;
    }
    if (rows[pivot][column] === 0) return null;
    [rows[column], rows[pivot]] = [rows[pivot], rows[column]];
    for (let row = column + 1; row < size; row++) {
      const factor = rows[row][column] / rows[column][column];
      for (let entry = column; entry <= size; entry++) rows[row][entry] -= factor * rows[column][entry];
    }
  }
  const solution = new Array<number>(size).fill(0);
  for (let row = size - 1; row >= 0; row--) {
    let value = rows[row][size];
    for (let column = row + 1; column < size; column++) value -= rows[row][column] * solution[column];
    solution[row] = value / rows[row][row];
  }
  return solution;
}
