// Every page as the tests render it, in a real browser: axe, three widths, light and dark, right to left, and the two
// scripts. Usage: ENTREE_GALLERY=DIR cargo test --lib login::page && node gallery.mjs DIR [PART-OF-NAME]
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const directory = path.resolve(process.argv[2] ?? ".");
const axe = fs.readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const style = fs.readFileSync(new URL("../../src/web/response/entree.css", import.meta.url));
const pages = fs.readdirSync(directory).filter((name) => name.endsWith(".html") && name.includes(process.argv[3] ?? "")).sort();
const tags = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"];
const browserArgs = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"];
const faults = [];
const check = (right, what) => right || faults.push(what);

// A stand-in for the service: the pages with their real headers, and what their scripts and forms ask for.
const seen = { posts: [], polls: 0, state: "open" };
const server = http.createServer((request, response) => {
  const { pathname } = new URL(request.url, "http://localhost");
  const answer = (kind, body, headers = {}) => response.writeHead(200, { ...headers, "content-type": kind }).end(body);
  if (request.method === "POST") {
    seen.posts.push({ pathname, origin: request.headers.origin, site: request.headers["sec-fetch-site"] });
    return answer("text/html", "<title>posted</title>");
  }
  if (pathname.startsWith("/assets/")) return answer("text/css", style);
  if (pathname === "/login/sent/state") {
    seen.polls += 1;
    return answer("application/json", JSON.stringify({ state: seen.state, continue: "/login/continue?flow=1" }));
  }
  const file = path.join(directory, path.basename(pathname));
  if (!pathname.startsWith("/gallery/") || !fs.existsSync(file)) return answer("text/html", "<title>elsewhere</title>");
  answer("text/html; charset=utf-8", fs.readFileSync(file), JSON.parse(fs.readFileSync(`${file}.json`)));
});

async function look(context, base, name) {
  const page = await context.newPage();
  for (const width of [1280, 768, 320]) {
    await page.setViewportSize({ width, height: 800 });
    await page.goto(`${base}/gallery/${name}`);
    const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    check(over <= 0, `${name}: ${over} px too wide at ${width}`);
    if (process.env.SHOTS) {
      await page.screenshot({ path: path.join(process.env.SHOTS, `${name}.${context.scheme}.${width}.png`), fullPage: true });
    }
  }
  await page.evaluate(axe);
  const { violations } = await page.evaluate((runOnly) => globalThis.axe.run(document, { runOnly }), tags);
  for (const { id, nodes } of violations) faults.push(`${name}, ${context.scheme}: axe ${id} at ${nodes.map((n) => n.target)}`);
  await page.close();
}

async function lookAtAll(browser, base, scheme) {
  const context = await browser.newContext({ colorScheme: scheme, bypassCSP: true });
  context.scheme = scheme;
  // The continue page stays, to be looked at; the link page that posts by itself looks like the one that does not.
  await context.route("**/account", (route) => route.fulfill({ status: 204 }));
  for (const name of pages.filter((name) => !name.startsWith("link_auto"))) await look(context, base, name);
  await context.close();
}

async function scripts(browser, base) {
  const page = await browser.newPage();
  const blocked = [];
  page.on("console", (message) => message.type() === "error" && blocked.push(message.text()));
  const open = (name) => page.goto(`${base}/gallery/${name}.en.html`);

  await open("sent");
  check(await page.isDisabled("#resend button"), "the resend button waits");
  await page.waitForSelector("#waiting", { state: "visible" });
  seen.state = "consumed";
  await page.waitForURL("**/login/continue?flow=1");
  seen.state = "ended";
  await open("sent");
  await page.waitForSelector("#ended", { state: "visible" });
  const polls = seen.polls;
  await page.waitForTimeout(2500);
  check(seen.polls === polls, "the waiting page asks on after the end");

  await open("link_auto");
  await page.waitForFunction(() => document.title === "posted");
  const [post] = seen.posts;
  check(post.origin === "null" && post.site === "same-origin", `the link posts with ${JSON.stringify(post)}`);
  for (const name of ["link", "link_switch", "elsewhere"]) {
    await open(name);
    await page.waitForURL("**/login/link");
    check(seen.posts.length === 1, `${name} posts by itself`);
  }
  check(blocked.length === 0, `the policy blocks what the pages need: ${blocked}`);

  await open("sign_in");
  await page.waitForFunction(() => document.activeElement?.id === "email");
  await page.keyboard.type("ada@example.test");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.title === "posted");
  check(seen.posts.at(-1).pathname === "/login/email", "the keyboard alone signs in");

  await open("letter");
  await page.frameLocator("#html").locator("a").click();
  await page.waitForURL("**/login/link/s3cret");
  await page.close();
}

async function withoutScripts(browser, base) {
  const context = await browser.newContext({ javaScriptEnabled: false });
  const page = await context.newPage();
  await page.goto(`${base}/gallery/continue.en.html`);
  await page.waitForURL("**/account");
  for (const [name, button] of [["link", "#link button"], ["sent", "#resend button"]]) {
    await page.goto(`${base}/gallery/${name}.en.html`);
    await page.click(button);
    check((await page.title()) === "posted", `${name} works without scripts`);
  }
  await context.close();
}

check(pages.length > 0, `no pages in ${directory}`);
await new Promise((done) => server.listen(0, "127.0.0.1", done));
const base = `http://127.0.0.1:${server.address().port}`;
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: browserArgs });
try {
  await Promise.all(["light", "dark"].map((scheme) => lookAtAll(browser, base, scheme)));
  await scripts(browser, base);
  await withoutScripts(browser, base);
} finally {
  await browser.close();
  server.close();
}
for (const fault of faults) console.error(fault);
console.log(`gallery: ${pages.length} pages, ${faults.length} faults`);
process.exitCode = faults.length === 0 ? 0 : 1;
