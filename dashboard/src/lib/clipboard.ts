// Copying a text. `navigator.clipboard` is there on https and on this machine alone; on a plain http address browsers
// still copy what is selected.
import { ApiError } from "./api";

/** Put a text on the clipboard; throws ApiError where the browser does not allow it. */
export async function copyText(text: string): Promise<void> {
  try {
    if (navigator.clipboard) return await navigator.clipboard.writeText(text);
    if (copySelected(text)) return;
  } catch {
    // the browser, or the operator, has said no
  }
  throw new ApiError({
    status: 0,
    name: "clipboard",
    message: "This browser copies nothing here.",
    hint: "Select the text, and copy it by hand.",
  });
}

function copySelected(text: string): boolean {
  const focused = document.activeElement;
  const field = document.createElement("textarea");
  field.value = text;
  field.readOnly = true;
  field.style.position = "fixed"; // so that nothing scrolls
  field.style.opacity = "0";
  document.body.append(field);
  field.select();
  try {
    return document.execCommand("copy");
  } finally {
    field.remove();
    if (focused instanceof HTMLElement) focused.focus();
  }
}
