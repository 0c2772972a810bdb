// Texts of strangers as they are, not as they want to be read.

// Marks that turn the direction of what follows: within a text they make a command look like another one.
const TURNS = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** A text whose marks of direction are written out: `⟨U+202E⟩`. It is for showing, not for editing. */
export const visible = (text: string): string =>
  text.replace(TURNS, (mark) => `⟨U+${mark.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
