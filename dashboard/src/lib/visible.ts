// Texts of strangers as they are, not as they want to be read.

// Control characters but for line breaks and tabs; marks that turn the direction of what follows, so that a command looks like
// another one; what is drawn as nothing, in which words can be hidden; halves of characters.
const UNSEEN =
  /[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\u{e0000}-\u{e01ef}\ud800-\udfff]|\r(?!\n)/gu;

/** A text whose invisible characters are written out: `⟨U+202E⟩`. It is for showing, not for editing. */
export const visible = (text: string): string =>
  text.replace(UNSEEN, (mark) => `⟨U+${mark.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}⟩`);
