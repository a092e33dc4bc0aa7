// Shows the list of photographs and how many of them have each action.

import { byId } from "./elements.ts";
import type { Outcome } from "./results.ts";
import * as strings from "./strings.ts";

/**
 * Shows a list of outcomes.
 *
 * @param outcomes in the order of the list
 * @param current the place of the one that is shown; -1 if none is
 * @param select is called with the place of the one that a person chooses
 */
export function showList(outcomes: readonly Outcome[], current: number, select: (place: number) => void): void {
  byId("list").hidden = outcomes.length === 0;
  const items = outcomes.map((outcome, place) => {
    const button = buttonFor(outcome);
    if (place === current) button.setAttribute("aria-current", "true");
    button.onclick = (): void => select(place);
    const item = document.createElement("li");
    item.append(button);
    return item;
  });
  byId("entries").replaceChildren(...items);
  const kinds = outcomes.map(kindOf);
  const count = (kind: string): number => kinds.filter((other) => other === kind).length;
  byId("counts").textContent = strings.countsText(count("refer"), count("retake"), count("none"), count("failed"));
}

/** Returns "refer", "retake", "none" or "failed". */
function kindOf(outcome: Outcome): string {
  return "error" in outcome ? "failed" : outcome.grading.action.split(":")[0];
}

function buttonFor(outcome: Outcome): HTMLButtonElement {
  const button = document.createElement("button");
  button.type = "button";
  const name = document.createElement("span");
  name.textContent = outcome.path;
  const result = document.createElement("span");
  result.textContent = "error" in outcome ? strings.NOT_GRADED : strings.listText(outcome.grading);
  result.className = "error" in outcome ? "retake" : kindOf(outcome);
  button.append(name, result);
  return button;
}
