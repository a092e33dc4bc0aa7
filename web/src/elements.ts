// The elements of the page.

/** Returns the element with an id, which index.html has. */
export function byId<Kind extends HTMLElement = HTMLElement>(id: string): Kind {
  return document.getElementById(id) as Kind;
}
