// Saving under a name that is taken replaces what has it: that is asked first.
import { confirmed } from "../parts/Confirm.svelte";
import { ApiError, get } from "./api";

/** Whether to go on: nothing has that name yet, or the operator wants it replaced. `path` is where it would be. */
export async function mayReplace(kind: string, name: string, path: string): Promise<boolean> {
  try {
    await get(path);
  } catch (error) {
    if (error instanceof ApiError && error.problem.status === 404) return true;
    throw error;
  }
  const text = "This form overwrites it. This can't be undone.";
  return confirmed({ title: `Replace the ${kind} ${name}?`, text, yes: "Replace it", danger: true });
}
