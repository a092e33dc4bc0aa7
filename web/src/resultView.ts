// Shows the result of one photograph: its action, reason, pictures and probabilities.

import type { Grading } from "./conclusion.ts";
import { drawHeat, drawPhoto, drawPrepared } from "./drawing.ts";
import { byId } from "./elements.ts";
import type { Pictures } from "./messages.ts";
import type { Outcome } from "./results.ts";
import * as strings from "./strings.ts";

/** Shows an outcome, with the pictures if there are any. */
export function showResult(outcome: Outcome, pictures: Pictures | null): void {
  byId("result").hidden = false;
  byId("result-title").textContent = outcome.path;
  document.querySelector<HTMLElement>(".pictures")!.hidden = !pictures;
  byId("probabilities").hidden = "error" in outcome;
  if ("error" in outcome) {
    showFailure(outcome.error);
  } else {
    showGrading(outcome.grading);
    if (pictures) showPictures(outcome.grading, pictures);
  }
}

export function hideResult(): void {
  byId("result").hidden = true;
}

function showFailure(error: string): void {
  showAction(strings.NOT_GRADED, "retake");
  byId("reason").textContent = error;
  byId("remarks").replaceChildren();
  byId("trained-on").textContent = "";
}

function showAction(text: string, kind: string): void {
  const action = byId("action");
  action.textContent = text;
  action.className = `action ${kind}`;
}

function showGrading(grading: Grading): void {
  showAction(strings.actionText(grading.action), grading.action.split(":")[0]);
  byId("reason").textContent = strings.reasonText(grading);
  const remarks = strings.remarksOn(grading).map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  });
  byId("remarks").replaceChildren(...remarks);
  byId("trained-on").textContent = strings.trainedText(grading);
  const rows = Object.entries(grading.probabilities).map(([name, value]) => probabilityRow(name, value, grading.grade));
  document.querySelector("#probabilities tbody")!.replaceChildren(...rows);
}

function showPictures({ path, grade, heatmap }: Grading, { prepared, photo, circle }: Pictures): void {
  const canvas = byId<HTMLCanvasElement>("photo");
  drawPhoto(canvas, photo, circle);
  canvas.setAttribute("aria-label", strings.photoText(path, circle !== null));
  byId("photo-caption").textContent = strings.photoCaption(circle !== null);
  drawPrepared(byId<HTMLCanvasElement>("prepared"), prepared);
  drawHeat(byId<HTMLCanvasElement>("heat"), prepared, heatmap);
  const heatCaption = strings.heatCaption(grade, heatmap.values.some((value) => value > 0));
  byId("heat-caption").textContent = heatCaption;
  byId("prepared").setAttribute("aria-label", heatCaption);
}

function probabilityRow(name: string, value: number, best: string): HTMLTableRowElement {
  const row = document.createElement("tr");
  if (name === best) row.className = "best";
  const heading = document.createElement("th");
  heading.scope = "row";
  heading.textContent = strings.gradeText(name);
  const number = document.createElement("td");
  number.textContent = value.toFixed(3);
  const bar = document.createElement("td");
  const meter = document.createElement("meter");
  meter.value = value;
  meter.setAttribute("aria-label", `${strings.gradeText(name)}: ${value.toFixed(3)}`);
  bar.append(meter);
  row.append(heading, number, bar);
  return row;
}
