import { expect, test, vi } from "vitest";

vi.stubGlobal("navigator", { language: "en-US@posix", languages: ["en-US@posix"] });
const { usableLanguage } = await import("../src/lib/language");

test("a language that Intl refuses is replaced before anything asks for it", () => {
  expect(navigator.language).toBe("en-US");
  expect(() => new Intl.NumberFormat(navigator.language)).not.toThrow();
});

test.each([
  [["de-DE", "en"], "de-DE"],
  [["en-US@posix"], "en-US"],
  [["de_AT.UTF-8"], "de-AT"],
  [["@", "fr"], "fr"],
  [["C.UTF-8@"], "en"],
  [[""], "en"],
  [[], "en"],
])("of %j it is %s", (names, expected) => {
  expect(usableLanguage(names)).toBe(expected);
});
