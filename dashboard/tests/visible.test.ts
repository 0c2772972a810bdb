import { expect, test } from "vitest";
import { visible } from "../src/lib/visible";

test("what can't be seen is written out, and nothing else is changed", () => {
  expect(visible("rm \u202e/ fr- \u2066x\u2069")).toBe("rm ⟨U+202E⟩/ fr- ⟨U+2066⟩x⟨U+2069⟩");
  expect(visible("\u061c\u200e\u200f")).toBe("⟨U+061C⟩⟨U+200E⟩⟨U+200F⟩");
  expect(visible("\u001b[2J\0\u0085a\u200bb\ufeff\u2028\ud800")).toBe(
    "⟨U+001B⟩[2J⟨U+0000⟩⟨U+0085⟩a⟨U+200B⟩b⟨U+FEFF⟩⟨U+2028⟩⟨U+D800⟩",
  );
  expect(visible("a\r\nb\rc \u{e0041}")).toBe("a\r\nb⟨U+000D⟩c ⟨U+E0041⟩");
  for (const text of ["", "שלום", "مرحبا", "👩‍💻", "naïve\n\ttext"]) expect(visible(text)).toBe(text);
});
