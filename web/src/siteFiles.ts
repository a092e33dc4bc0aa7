// The files of the site: their hashes, which `keras-dr web` writes to files.js, and the cache that keeps them offline.

import { KerasDrError } from "./errors.ts";

/** What files.js holds. */
export interface Site {
  /** A hash of all files; a changed file makes another version, and so another cache. */
  readonly version: string;
  /** Path -> SHA-256 in hexadecimal digits. */
  readonly files: Readonly<Record<string, string>>;
}

const PREFIX = "keras-dr ";

export function cacheName(site: Site): string {
  return PREFIX + site.version;
}

export function isOurCache(name: string): boolean {
  return name.startsWith(PREFIX);
}

/** Returns the site's files; files.js is a script, so that a browser notices its changes when it checks sw.js. */
function siteOf(scope: typeof globalThis): Site {
  return (scope as unknown as { SITE: Site }).SITE;
}

/** Loads files.js in a worker. */
export function loadSite(): Site {
  importScripts(new URL("files.js", self.location.href).href);
  return siteOf(globalThis);
}

/** Returns a file's content from the cache or the server, keeps it for offline use, and refuses an altered file. */
export async function fetchSiteFile(path: string): Promise<Uint8Array<ArrayBuffer>> {
  const site = siteOf(globalThis) ?? loadSite();
  const url = new URL(path, self.location.href).href;
  const cache = await openCache(site);
  const kept = await cache?.match(url);
  const response = kept ?? (await fetchAnew(url));
  const data = new Uint8Array(await response.clone().arrayBuffer());
  if ((await sha256(data)) !== site.files[path]) {
    await cache?.delete(url);
    const problem = `The file ${path} is not the one that this page was made with.`;
    throw new KerasDrError(problem, "Load the page again. If that does not help, write the site again with keras-dr web.");
  }
  if (!kept) await cache?.put(url, response).catch(() => undefined); // a full disk: then the page needs the server
  return data;
}

async function fetchAnew(url: string): Promise<Response> {
  const response = await fetch(url, { cache: "no-cache" }).catch(() => null);
  if (response?.ok) return response;
  const problem = `The file ${url} cannot be loaded.`;
  throw new KerasDrError(problem, "Check that the server runs, and load the page again.");
}

async function openCache(site: Site): Promise<Cache | null> {
  try {
    return await caches.open(cacheName(site));
  } catch {
    return null; // the browser allows no caches, as in some private windows
  }
}

export async function sha256(data: Uint8Array<ArrayBuffer>): Promise<string> {
  if (!globalThis.crypto?.subtle) {
    const problem = "The page was not loaded over HTTPS, so that the browser cannot check the model.";
    throw new KerasDrError(problem, "Open it over HTTPS, or as http://localhost.");
  }
  const digest = await crypto.subtle.digest("SHA-256", data);
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
