// test/browser/report.mjs - opens reports of gpt_report in Chromium: no console message, no request but for the file
// itself, no violation of axe-core, no scrolling sideways, at 360, 800 and 1600 px, light and dark, and printed.
// scripts/report-check calls it.
//   node test/browser/report.mjs OUT FILE.html...      OUT gets a PNG for each width and scheme, and a PDF
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const require = createRequire(pathToFileURL(resolve(process.env.GPT_NODE_MODULES ?? 'node_modules', 'x')));
const puppeteer = require('puppeteer-core');
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const [out, ...files] = process.argv.slice(2);
const browser = await puppeteer.launch({
  executablePath: process.env.GPT_CHROMIUM ?? '/usr/bin/chromium', headless: true, args: ['--no-sandbox'] });
let failures = 0;

function check(good, what, detail) {
  console.log(`${good ? 'ok' : 'not ok'} - ${what}`);
  if (!good) {
    failures++;
    console.log(`#   ${detail}`);
  }
}

async function look(file, width, scheme) {
  const page = await browser.newPage();
  const name = `${basename(file, '.html')} ${width} px ${scheme}`;
  const url = pathToFileURL(resolve(file)).href;
  const said = [];
  const asked = [];

  page.on('console', (message) => said.push(message.text()));
  page.on('pageerror', (error) => said.push(String(error)));
  page.on('dialog', (dialog) => { said.push(`dialog ${dialog.message()}`); dialog.dismiss(); });
  page.on('request', (request) => {
    if (request.url() !== url && request.url() !== 'data:,') asked.push(request.url());
  });
  await page.setViewport({ width, height: 900 });
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
  await page.goto(url, { waitUntil: 'networkidle0' });
  await page.screenshot({ path: `${out}/${basename(file, '.html')}-${width}-${scheme}.png`, fullPage: true });
  check(said.length === 0, `${name}: nothing in the console`, said.join('; '));
  check(asked.length === 0, `${name}: no request leaves the page`, asked.join('; '));
  check(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth),
    `${name}: no scrolling sideways`, 'the page is wider than the window');
  check(await page.evaluate(() => document.scripts.length === 0), `${name}: no script`, 'there is a script element');
  await page.evaluate(() => document.querySelectorAll('details').forEach((details) => { details.open = true; }));
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ['violations'] }));
  check(violations.length === 0, `${name}: axe-core finds no violation`,
    violations.map((v) => `${v.id}: ${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 120)).join(' | ')}`).join('; '));
  if (width === 800 && scheme === 'light')
    await page.pdf({ path: `${out}/${basename(file, '.html')}.pdf`, format: 'A4',
      margin: { top: '15mm', bottom: '15mm', left: '15mm', right: '15mm' } });
  await page.close();
}

for (const file of files)
  for (const width of [360, 800, 1600])
    for (const scheme of ['light', 'dark'])
      await look(file, width, scheme);
await browser.close();
process.exit(failures > 0 ? 1 : 0);
