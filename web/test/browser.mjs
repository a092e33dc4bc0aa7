// Uses the page in Chromium as a person does, for the tests:
//     node browser.mjs settings.json result.json
// The settings name the address, the photographs and the steps; the result holds what the page showed and saved.

import { chromium } from "playwright-core";
import { readFileSync, renameSync, unlinkSync, writeFileSync } from "node:fs";

const [settingsFile, resultFile] = process.argv.slice(2);
const settings = JSON.parse(readFileSync(settingsFile, "utf8"));
const { address, chromium: executablePath, search = "" } = settings;
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
const result = { shown: {}, asked: [] };
page.on("dialog", (dialog) => {
  result.asked.push(dialog.type());
  return dialog.dismiss();
});

/** Waits until the page has done what it was asked to do. */
async function settled() {
  await page.waitForTimeout(100);
  await page.waitForSelector("main[aria-busy=false]", wait);
}

async function saved(button) {
  const [download] = await Promise.all([page.waitForEvent("download", wait), page.click(button)]);
  return readFileSync(await download.path(), "utf8");
}

/** Runs the page's worker on photographs, and returns what the model returned for each; this runs in the page. */
async function runWorker([contents, search, variant]) {
  const worker = new Worker("worker.js", { name: new URLSearchParams(search).get("build") ?? "" });
  const ask = (request, transfer = []) => {
    return new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => ("error" in data ? reject(new Error(data.error)) : resolve(data.result));
      worker.postMessage({ id: 0, ...request }, transfer);
    });
  };
  const text = (bytes) => {
    let letters = "";
    for (let start = 0; start < bytes.length; start += 8192) letters += String.fromCharCode(...bytes.subarray(start, start + 8192));
    return btoa(letters);
  };
  const { build, threads, variant: used, variants } = await ask({ kind: "start", variant });
  const photographs = [];
  for (const content of contents) {
    const { buffer } = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
    const view = await ask({ kind: "grade", bytes: buffer }, [buffer]);
    const { probabilities, heatmaps, width, height } = view.outputs;
    const prepared = text(view.pictures.prepared.pixels);
    photographs.push({ probabilities: [...probabilities], heatmaps: [...heatmaps], width, height, prepared });
  }
  worker.terminate();
  return { build, threads, variant: used, variants, photographs };
}

const steps = {
  open: async () => {
    await page.goto(address + search);
    await settled();
    result.ready = await status.textContent();
    result.build = await page.locator("#build").textContent();
  },
  /** Drops photographs before the grader is loaded. */
  openAndDrop: async (files) => {
    await page.goto(address + search);
    await steps.drop(files);
  },
  variant: async (name) => {
    await page.locator("details").first().evaluate((details) => (details.open = true));
    await page.selectOption("#variant", name);
    await settled();
    result.build = await page.locator("#build").textContent();
    result.status = await status.textContent();
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
  outputs: async ([files, variant, name]) => {
    const contents = files.map((file) => readFileSync(file).toString("base64"));
    result[name] = await page.evaluate(runWorker, [contents, search, variant]);
  },
  chooseByMouse: async (files) => {
    const [chooser] = await Promise.all([page.waitForEvent("filechooser", wait), page.click("#choose")]);
    await chooser.setFiles(files);
    await settled();
  },
  chooseByKeyboard: async (files) => {
    const focused = () => page.evaluate(() => document.activeElement.id);
    for (let count = 0; count < 20 && (await focused()) !== "choose"; count++) await page.keyboard.press("Shift+Tab");
    if ((await focused()) !== "choose") throw new Error("the button is not reached by the Tab key");
    // A busy machine may open the chooser so late that the browser no longer sees the key as its cause.
    let chooser = null;
    for (let count = 0; chooser === null && count < 5; count++) {
      const opened = page.waitForEvent("filechooser", { timeout: 15_000 }).catch(() => null);
      await page.keyboard.press("Enter");
      chooser = await opened;
    }
    if (chooser === null) throw new Error("the Enter key does not open the file chooser");
    await chooser.setFiles(files);
    await settled();
  },
  drop: async (files) => {
    const given = files.map((file) => [file.split("/").at(-1), readFileSync(file).toString("base64")]);
    await page.evaluate((contents) => {
      const transfer = new DataTransfer();
      for (const [name, content] of contents) {
        transfer.items.add(new File([Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0))], name));
      }
      const drop = document.getElementById("drop");
      for (const kind of ["dragover", "drop"]) {
        drop.dispatchEvent(new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
      }
    }, given);
    await settled();
    result.status = await status.textContent();
  },
  slider: async (keys) => {
    await page.focus("#opacity");
    for (const key of keys) await page.keyboard.press(key);
    result.opacity = await page.evaluate(() => document.getElementById("heat").style.opacity);
  },
  entry: async (number) => {
    await page.locator("#entries button").nth(number).click();
    await settled();
    result.title = await page.locator("#result-title").textContent();
    result.focus = await page.evaluate(() => document.activeElement.id);
    result.status = await status.textContent();
    result.arePicturesShown = await page.locator(".pictures").isVisible();
  },
  remove: async (file) => unlinkSync(file),
  leave: async () => page.reload({ timeout: 5000 }).catch(() => null),
  clear: async () => {
    await page.click("#clear");
    result.isListShown = await page.locator("#list").isVisible();
  },
  /** Puts another version of the site in the place of the one that is served. */
  replace: async ([site, newer]) => {
    renameSync(site, `${site} before`);
    renameSync(newer, site);
  },
  update: async () => {
    await page.evaluate(() => navigator.serviceWorker.ready.then((registration) => registration.update()));
    await page.waitForSelector("#update:not([hidden])", wait);
    result.announced = await page.locator("#update").innerText();
    await Promise.all([page.waitForEvent("load", wait), page.click("#load-update")]);
    await settled();
    result.updated = await status.textContent();
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
  online: async () => context.setOffline(false),
  card: async () => {
    result.card = await page.locator("#card").textContent();
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
