// Names of classes, after keras_dr/core/names.py.

/** Returns the name of a class as words for people: "no_dr" is "no DR". */
export function classWords(name: string): string {
  return name.replaceAll("_", " ").replace(/\bdr\b/g, "DR");
}
