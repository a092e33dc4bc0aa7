// Uses the page in Chromium as a person does, for the tests:
//     node browser.mjs settings.json result.json
// The settings name the address, the photographs and the steps; the result holds what the page showed and saved.

import { chromium } from "playwright-core";
import { readFileSync, writeFileSync } from "node:fs";

const [settingsFile, resultFile] = process.argv.slice(2);
const settings = JSON.parse(readFileSync(settingsFile, "utf8"));
const { address, chromium: executablePath } = settings;
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", ...(settings.flags ?? [])] });
const context = await browser.newContext({ viewport: { width: 1024, height: 900 }, ...(settings.context ?? {}) });
const requests = [];
const problems = [];
context.on("request", (request) => requests.push(request.url()));
const page = await context.newPage();
page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
page.on("pageerror", (error) => problems.push(String(error)));

const wait = { timeout: settings.timeout ?? 180_000 };
const status = page.locator("#status");
const result = { shown: {} };

/** Waits until the page has done what it was asked to do. */
async function settled() {
  await page.waitForTimeout(100);
  await page.waitForSelector("main[aria-busy=false]", wait);
}

async function saved(button) {
  const [download] = await Promise.all([page.waitForEvent("download", wait), page.click(button)]);
  return readFileSync(await download.path(), "utf8");
}

const steps = {
  open: async () => {
    await page.goto(address);
    await settled();
    result.ready = await status.textContent();
    result.build = await page.locator("#build").textContent();
  },
  variant: async (name) => {
    await page.locator("details").first().evaluate((details) => (details.open = true));
    await page.selectOption("#variant", name);
    await settled();
    result.build = await page.locator("#build").textContent();
  },
  point: async (name) => {
    await page.locator("details").first().evaluate((details) => (details.open = true));
    await page.selectOption("#point", name);
    await settled();
  },
  grade: async (files) => {
    await page.setInputFiles("#files", files);
    await settled();
    result.status = await status.textContent();
  },
  save: async (name) => {
    result[name] = { csv: await saved("#save-csv"), json: JSON.parse(await saved("#save-json")) };
  },
  show: async (name) => {
    result.shown[name] = await page.locator("#result").innerText();
  },
  profile: async () => {
    await page.locator("details").first().evaluate((details) => (details.open = true));
    await page.click("#measure");
    await page.waitForSelector("#profile:not([hidden])", wait);
    result.profile = JSON.parse(await page.locator("#profile").textContent());
  },
  screenshot: async (file) => {
    await page.screenshot({ path: file, fullPage: true });
  },
  resize: async ([width, height]) => {
    await page.setViewportSize({ width, height });
    const overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
    result.overflow = Math.max(result.overflow ?? 0, await page.evaluate(overflow));
  },
  dark: async () => page.emulateMedia({ colorScheme: "dark" }),
  keys: async (keys) => {
    for (const key of keys) await page.keyboard.press(key);
    result.focus = await page.evaluate("document.activeElement.id || document.activeElement.textContent");
  },
  offline: async () => {
    await page.evaluate("navigator.serviceWorker.ready.then(() => true)");
    await context.setOffline(true);
    await page.goto(address);
    await settled();
    result.offline = await status.textContent();
  },
  axe: async (file) => {
    // in the page's own world, for the page's policy forbids scripts that are not its own
    const session = await context.newCDPSession(page);
    await session.send("Page.setBypassCSP", { enabled: true });
    const evaluate = (expression) => session.send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
    await evaluate(readFileSync(file, "utf8"));
    const found = await evaluate("axe.run(document, {resultTypes: ['violations']}).then((r) => JSON.stringify(r.violations))");
    const violations = JSON.parse(found.result.value);
    result.axe ??= [];
    result.axe.push(...violations.map(({ id, impact, nodes }) => ({ id, impact, where: nodes.map((node) => node.html.slice(0, 120)) })));
  },
  caches: async () => {
    result.caches = await page.evaluate("caches.keys()");
  },
};

try {
  for (const [step, argument] of settings.steps) await steps[step](argument);
} catch (error) {
  result.error = `${error} (the page says: ${await status.textContent().catch(() => "nothing")})`;
}
result.requests = requests;
result.problems = problems;
writeFileSync(resultFile, JSON.stringify(result));
await browser.close();
