// The page's side of the worker: each request becomes a promise.

import type { Answer, Graded, Request, StageTimes, Started } from "./messages.ts";

interface Waiting {
  readonly resolve: (result: never) => void;
  readonly reject: (error: Error) => void;
}

// Omit of a union keeps only what all of its members have, so it is taken of each member.
type WithoutId<Kind> = Kind extends unknown ? Omit<Kind, "id"> : never;

export class GraderClient {
  // the address of the page may choose a build of the runtime, as in ?build=compatible
  private readonly worker = new Worker("worker.js", { name: new URLSearchParams(location.search).get("build") ?? "" });
  private readonly waiting = new Map<number, Waiting>();
  private count = 0;

  constructor() {
    this.worker.onmessage = ({ data }: MessageEvent<Answer>): void => {
      const waiting = this.waiting.get(data.id);
      this.waiting.delete(data.id);
      if ("error" in data) waiting?.reject(new Error(data.error));
      else waiting?.resolve(data.result as never);
    };
    this.worker.onerror = (event): void => {
      event.preventDefault();
      const reason = event.message || "it cannot be loaded";
      const error = new Error(`The grader has stopped: ${reason}. Load the page again.`);
      for (const { reject } of this.waiting.values()) reject(error);
      this.waiting.clear();
    };
  }

  start(variant: string | null): Promise<Started> {
    return this.ask({ kind: "start", variant });
  }

  grade(bytes: ArrayBuffer): Promise<Graded> {
    return this.ask({ kind: "grade", bytes }, [bytes]);
  }

  profile(bytes: ArrayBuffer, rounds: number): Promise<StageTimes> {
    return this.ask({ kind: "profile", bytes, rounds }, [bytes]);
  }

  /** Ends the worker and frees its memory. */
  end(): void {
    this.worker.terminate();
  }

  private ask<Result>(request: WithoutId<Request>, transfer: Transferable[] = []): Promise<Result> {
    const id = this.count++;
    return new Promise<Result>((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ ...request, id }, transfer);
    });
  }
}
