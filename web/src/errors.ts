// Errors that a person can act on, as keras_dr/core/errors.py has them.

/** An error with what is wrong and what to do, each as a whole sentence. */
export class KerasDrError extends Error {
  readonly problem: string;
  readonly remedy: string;

  constructor(problem: string, remedy: string) {
    super(`${problem} ${remedy}`);
    this.name = "KerasDrError";
    this.problem = problem;
    this.remedy = remedy;
  }
}

export const COPY_AGAIN = "Copy the file again from its source.";

/** Returns the error for a file of `size` bytes that ends within its picture. */
export function truncated(size: number): KerasDrError {
  return new KerasDrError(`The file is truncated: it ends within the picture, after ${size} bytes.`, COPY_AGAIN);
}

/** Returns the error for a file whose picture is damaged, with the decoder's reason. */
export function damaged(reason: string): KerasDrError {
  return new KerasDrError(`The file is damaged within the picture: ${reason}.`, COPY_AGAIN);
}
