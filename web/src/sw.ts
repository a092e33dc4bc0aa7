// The service worker: keeps the page's own files for offline use. The runtime and the model are kept when they are first
// loaded (`siteFiles.ts`), so that no browser loads a build or a model that it does not use.

import { cacheName, isOurCache, loadSite } from "./siteFiles.ts";

interface LastingEvent extends Event {
  waitUntil(work: Promise<unknown>): void;
}

interface FetchEvent extends LastingEvent {
  readonly request: Request;
  respondWith(response: Promise<Response>): void;
}

interface Worker {
  readonly clients: { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
  addEventListener(kind: "install" | "activate", handle: (event: LastingEvent) => void): void;
  addEventListener(kind: "fetch", handle: (event: FetchEvent) => void): void;
  addEventListener(kind: "message", handle: (event: MessageEvent<string>) => void): void;
}

const worker = self as unknown as Worker;
const site = loadSite();
const isLarge = (path: string): boolean => path.startsWith("litert/") || path.endsWith(".tflite");

worker.addEventListener("install", (event) => {
  const paths = Object.keys(site.files).filter((path) => !isLarge(path));
  const requests = ["./", "files.js", ...paths].map((path) => new Request(path, { cache: "reload" }));
  event.waitUntil(caches.open(cacheName(site)).then((cache) => cache.addAll(requests)));
});

worker.addEventListener("activate", (event) => {
  const removeOld = async (): Promise<void> => {
    for (const name of await caches.keys()) {
      if (isOurCache(name) && name !== cacheName(site)) await caches.delete(name);
    }
    await worker.clients.claim();
  };
  event.waitUntil(removeOld());
});

worker.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET" || new URL(request.url).origin !== self.location.origin) return;
  const respond = async (): Promise<Response> => {
    const cache = await caches.open(cacheName(site));
    return (await cache.match(request, { ignoreSearch: true })) ?? fetch(request);
  };
  event.respondWith(respond());
});

// The page asks for this when its user wants the new version; until then the old one goes on, with its own files.
worker.addEventListener("message", ({ data }) => {
  if (data === "use the new version") void worker.skipWaiting();
});
