// Prepares photographs in Node, so that a test can compare the pixels with Python's:
//     node prepare.mjs jobs.json answers
// jobs.json lists {file, spec}; `answers` gets answers.json and the pixels of each prepared image.

import { readFileSync, writeFileSync } from "node:fs";
import { KerasDrError } from "../src/errors.ts";
import { JpegDecoder } from "../src/jpeg.ts";
import { circleMask, preparePhotograph, readPhotograph, readPreprocessing } from "../src/preprocessing.ts";
import { measure } from "../src/quality.ts";

interface Job {
  readonly file: string;
  readonly spec: Record<string, unknown>;
}

const [jobsFile, folder, wasm] = process.argv.slice(2);
const jobs = JSON.parse(readFileSync(jobsFile, "utf8")) as Job[];
const decoder = await JpegDecoder.load(readFileSync(wasm));

async function answer(job: Job, number: number): Promise<unknown> {
  const spec = readPreprocessing(job.spec);
  const photograph = await readPhotograph(decoder, new Uint8Array(readFileSync(job.file)), spec);
  const image = preparePhotograph(photograph, spec);
  const { picture, fundus, reduction, stretched, several } = photograph;
  writeFileSync(`${folder}/${number}.rgb`, image.pixels);
  writeFileSync(`${folder}/${number}.decoded`, picture.pixels);
  return {
    decoded: [picture.height, picture.width],
    fundus,
    reduction,
    stretched,
    several,
    measures: measure(image, circleMask(spec.size)),
  };
}

const answers: unknown[] = [];
for (const [number, job] of jobs.entries()) {
  try {
    answers.push(await answer(job, number));
  } catch (error) {
    if (!(error instanceof KerasDrError)) throw error;
    answers.push({ error: error.problem });
  }
}
writeFileSync(`${folder}/answers.json`, JSON.stringify(answers));
