/** A secret of 32 random bytes, as hexadecimal digits. */
export function randomSecret(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  return Array.from(bytes, (one) => one.toString(16).padStart(2, "0")).join("");
}
