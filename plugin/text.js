// Texts that are cut, and JSON that any reader takes. JavaScript cuts a character outside of the BMP (an emoji) in
// halves, and JSON.stringify writes half a one as \ud83d, which is no Unicode: most readers refuse the whole document.

/**
 * What an error says, whatever was thrown.
 * @param {any} error
 */
export function reasonOf(error) {
  return String(error?.message ?? error);
}

/**
 * The first `length` units of a text, one less where that would end in half a character.
 * @param {string} text
 * @param {number} length
 */
export function cut(text, length) {
  if (text.length <= length) return text;
  const last = text.charCodeAt(length - 1);
  return text.slice(0, last >= 0xd800 && last < 0xdc00 ? length - 1 : length);
}

/**
 * The last `length` units of a text, one less where that would begin with half a character.
 * @param {string} text
 * @param {number} length
 */
export function cutBegin(text, length) {
  if (text.length <= length) return text;
  const begin = text.length - length;
  const first = text.charCodeAt(begin);
  return text.slice(first >= 0xdc00 && first < 0xe000 ? begin + 1 : begin);
}

/**
 * JSON.stringify; half a character, which OpenClaw makes too when it cuts a text, becomes U+FFFD.
 * @param {unknown} value
 * @param {(key: string, value: any) => unknown} [replacer]
 * @returns {string}
 */
export function toJson(value, replacer) {
  const json = JSON.stringify(value, replacer);
  // Whole characters are written as they are: an escape \ud… is always half of one. An escaped backslash is none.
  return json?.includes("\\ud")
    ? json.replace(/\\(?:u(d[89a-f][0-9a-f]{2})|[^])/g, (whole, half) => (half ? "\\ufffd" : whole))
    : json;
}
