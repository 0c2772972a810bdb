import { expect, test } from "vitest";
import { visible } from "../src/lib/visible";

test("marks of direction are written out, and nothing else is changed", () => {
  expect(visible("rm \u202e/ fr- \u2066x\u2069")).toBe("rm ⟨U+202E⟩/ fr- ⟨U+2066⟩x⟨U+2069⟩");
  expect(visible("\u061c\u200e\u200f")).toBe("⟨U+061C⟩⟨U+200E⟩⟨U+200F⟩");
  for (const text of ["", "שלום", "مرحبا", "👩‍💻", "naïve\n\ttext"]) expect(visible(text)).toBe(text);
});
