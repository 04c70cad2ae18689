// Drive the page in a real browser: sign in, run a query, watch events arrive. `tests/system/test_browser.py` does; by hand:
//
//   cd /tmp/somewhere && npm install --no-save playwright-core      (never into web/; it downloads no browser)
//   node /path/to/web/check.mjs http://localhost:8000/graphql E-MAIL PASSWORD [folder for screenshots]
//
// Run it in the folder that has playwright-core. CHROMIUM names the browser (default /usr/bin/chromium), COLOURS is
// light or dark, EVENT_SECONDS is how long to wait for an anomaly (default 120; 0 skips the subscription).
// Requests to any other host are blocked. Exits with 1 if a step fails, the console has an error, or anything
// violates the Content-Security-Policy.
import { createRequire } from "node:module";
import { join } from "node:path";

const { chromium } = createRequire(join(process.cwd(), "check.mjs"))("playwright-core");
const [url, email, password, folder = "."] = process.argv.slice(2);
const seconds = Number(process.env.EVENT_SECONDS ?? 120);
const colorScheme = process.env.COLOURS ?? "light";

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-background-networking"],
});
const page = await browser.newPage({ colorScheme, viewport: { width: 1400, height: 860 } });
const complaints = [];
page.on("console", (message) => {
  if (["error", "warning"].includes(message.type())) complaints.push(`${message.type()}: ${message.text()}`);
});
page.on("pageerror", (error) => complaints.push(`page error: ${error.message}`));
await page.route(
  (target) => target.origin !== new URL(url).origin && /^https?:$/.test(target.protocol),
  (route) => {
    complaints.push(`outside request: ${route.request().url()}`);
    return route.abort();
  },
);

const picture = (name) => page.screenshot({ path: join(folder, `graphiql-${colorScheme}-${name}.png`) });
// GraphiQL's own handle on its editor gives the whole answer, not just the lines in view.
const answer = () =>
  page.evaluate(() => {
    const model = globalThis.__MONACO.editor.getModels().find((each) => each.uri.path.includes("response"));
    return model?.getValue() ?? "";
  });
const run = () => page.getByRole("button", { name: /execute query/i }).click();

async function until(what, holds, limit = 15) {
  for (let waited = 0; waited < limit * 10; waited += 1) {
    const value = await holds();
    if (value) {
      console.log(`ok: ${what}`);
      return value;
    }
    await page.waitForTimeout(100);
  }
  throw new Error(`never saw: ${what}; the answer was: ${await answer()}`);
}

async function signIn(secret) {
  await page.getByLabel("E-mail").fill(email);
  await page.getByLabel("Password").fill(secret);
  await page.getByRole("button", { name: "Sign in" }).click();
}

try {
  await page.goto(url);
  await until("the editor", () => page.evaluate(() => !!globalThis.__MONACO?.editor.getModels().length));
  await page.waitForTimeout(1500);
  await picture("opening");

  await signIn(`${password} but wrong`);
  await until("a wrong password is told", () => page.locator(".hint").textContent());
  await signIn(password);
  await until("who is signed in", () => page.getByText(email).isVisible());

  await page.getByLabel("Examples").selectOption({ label: "Who am I?" });
  await run();
  await until("the query's answer", async () => (await answer()).includes(email));
  await picture("query");

  if (seconds > 0) {
    await page.getByLabel("Examples").selectOption({ label: "Watch anomalies live" });
    await run();
    await until("an anomaly, live", async () => /"cursor"/.test(await answer()), seconds);
    await picture("subscription");
    await page.getByRole("button", { name: /stop query/i }).click();
  }

  await page.reload();
  await until("a reload keeps the session", () => page.getByText(email).isVisible());
  const kept = await page.evaluate(() => JSON.stringify({ ...localStorage }));
  if (kept !== "{}") throw new Error(`left in localStorage: ${kept}`);
  console.log("ok: nothing in localStorage");
  await page.getByRole("button", { name: "Sign out" }).click();
  await until("signed out", () => page.getByRole("button", { name: "Sign in" }).isVisible());
} catch (error) {
  complaints.push(error.message);
  await picture("failure");
} finally {
  await browser.close();
}
for (const complaint of complaints) console.log(`NOT OK: ${complaint}`);
process.exitCode = complaints.length ? 1 : 0;
