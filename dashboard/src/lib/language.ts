// A browser under a locale such as POSIX calls its language `en-US@posix`, which Intl refuses with a RangeError. Charts
// ask for it when they are loaded, so that the whole page would stay empty: such a name is replaced by a usable one.

/** The first of the browser's languages that Intl takes; English when it takes none. */
export function usableLanguage(names: readonly string[]): string {
  for (const name of names) {
    for (const tag of [name, name.split(/[@.]/)[0]!.replaceAll("_", "-")]) {
      try {
        return Intl.getCanonicalLocales(tag)[0] ?? "en";
      } catch {
        // no language tag: the next one may be
      }
    }
  }
  return "en";
}

const { language, languages } = navigator;
const usable = usableLanguage([language, ...languages]);
if (usable !== language) Object.defineProperty(navigator, "language", { value: usable, configurable: true });
