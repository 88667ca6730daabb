// Prints what Playwright's MCP server says of pages, for a comparison: node playwright-snapshots.mjs CHROMIUM OUT URL…
// It needs @playwright/mcp and @modelcontextprotocol/sdk from npm in the working folder.
import {writeFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import {pathToFileURL} from 'node:url';
const require = createRequire(process.cwd() + '/');
const load = (name) => import(pathToFileURL(require.resolve(name)));
const {Client} = await load('@modelcontextprotocol/sdk/client/index.js');
const {StdioClientTransport} = await load('@modelcontextprotocol/sdk/client/stdio.js');
const [chromium, out, ...urls] = process.argv.slice(2);
const client = new Client({name: 'compare', version: '1'});
await client.connect(new StdioClientTransport({
  command: 'npx', args: ['@playwright/mcp', '--headless', '--isolated', '--no-sandbox', '--executable-path', chromium], stderr: 'ignore',
}));
for (const url of urls) {
  await client.callTool({name: 'browser_navigate', arguments: {url}}, undefined, {timeout: 120000});
  const r = await client.callTool({name: 'browser_snapshot', arguments: {}}, undefined, {timeout: 120000});
  writeFileSync(out + '/' + url.split('/').pop() + '.playwright.txt', r.content.map((c) => c.text || '').join('\n'));
}
await client.close();
