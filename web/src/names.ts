// Names as words and sentences, after keras_dr/core/names.py.

/** Returns the name of a class as words for people: "no_dr" is "no DR". */
export function classWords(name: string): string {
  return name.replaceAll("_", " ").replace(/\bdr\b/g, "DR");
}

/** Returns words as a sentence: "mild retinopathy" is "Mild retinopathy." */
export function asSentence(words: string): string {
  return `${words[0].toUpperCase()}${words.slice(1)}.`;
}
