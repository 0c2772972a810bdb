// Copying, also where browsers give pages no clipboard: over plain http from another machine.
import { ApiError } from "./api";

/** Copy a text; throws ApiError when the browser does not let the page do it. */
export async function copyText(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    return;
  } catch {
    if (copiedFromField(text)) return;
  }
  throw new ApiError({
    status: 0,
    name: "clipboard",
    message: "The browser does not let this page copy.",
    hint: "Select the text, and copy it yourself.",
  });
}

function copiedFromField(text: string): boolean {
  const before = document.activeElement;
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "hidden";
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  if (before instanceof HTMLElement) before.focus();
  return done;
}
