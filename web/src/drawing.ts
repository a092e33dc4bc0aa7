// Draws pictures on canvases.

import { heatLayer, type HeatMap } from "./overlay.ts";
import type { Picture } from "./picture.ts";

function contextOf(canvas: HTMLCanvasElement, { width, height }: Picture): CanvasRenderingContext2D {
  canvas.width = width;
  canvas.height = height;
  return canvas.getContext("2d")!;
}

function put(context: CanvasRenderingContext2D, picture: Picture): void {
  const { pixels, width, height } = picture;
  const colours = new Uint8ClampedArray(4 * width * height).fill(255);
  for (let pixel = 0; pixel < width * height; pixel++) {
    colours[4 * pixel] = pixels[3 * pixel];
    colours[4 * pixel + 1] = pixels[3 * pixel + 1];
    colours[4 * pixel + 2] = pixels[3 * pixel + 2];
  }
  context.putImageData(new ImageData(colours, width, height), 0, 0);
}

/** Draws the photograph and the circle of its fundus. */
export function drawPhoto(
  canvas: HTMLCanvasElement,
  photo: Picture,
  circle: { readonly x: number; readonly y: number; readonly radius: number } | null,
): void {
  const context = contextOf(canvas, photo);
  put(context, photo);
  if (!circle) return;
  context.lineWidth = Math.max(1.5, photo.width / 250);
  context.strokeStyle = "#7fd4ff";
  context.beginPath();
  context.arc(circle.x + 0.5, circle.y + 0.5, circle.radius, 0, 2 * Math.PI);
  context.stroke();
}

export function drawPrepared(canvas: HTMLCanvasElement, prepared: Picture): void {
  put(contextOf(canvas, prepared), prepared);
}

/** Draws the heat map alone, fully opaque at its hottest point; the page's slider weakens the whole layer. */
export function drawHeat(canvas: HTMLCanvasElement, prepared: Picture, map: HeatMap): void {
  const { width, height } = prepared;
  contextOf(canvas, prepared).putImageData(new ImageData(heatLayer(prepared, map, 1), width, height), 0, 0);
}
