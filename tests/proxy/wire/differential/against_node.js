'use strict';
// Reads the generator's lines and parses each message with Node's HTTP parser (llhttp, strict), which must see the same
// message end in the same place. Known to differ and allowed for: Node delivers all fields, ours only the end-to-end ones.
const { HTTPParser, methods } = require('_http_common');
const readline = require('node:readline');

const latin1 = (text) => Buffer.from(text, 'latin1');

function parse(row) {
  const parser = new HTTPParser();
  parser.initialize(row.kind === 'request' ? HTTPParser.REQUEST : HTTPParser.RESPONSE, {}, 1 << 20, 0);
  const messages = [];
  let current = null;
  let fields = [];
  parser[HTTPParser.kOnHeaders | 0] = (list, url) => {
    fields.push(...list);
    if (url && current === null) fields.url = url;
  };
  parser[HTTPParser.kOnHeadersComplete | 0] = (major, minor, list, method, url, status, reason, upgrade) => {
    // A list that was handed over in parts before comes back as undefined.
    if (list) fields.push(...list);
    current = { minor, fields, method, url: url || fields.url, status, upgrade, body: [], ended: false };
    fields = [];
    messages.push(current);
    return row.head_request ? 1 : 0; // 1: the answer to a HEAD request has no body
  };
  parser[HTTPParser.kOnBody | 0] = (chunk, offset, length) => {
    current.body.push(offset === undefined ? Buffer.from(chunk) : Buffer.from(chunk.subarray(offset, offset + length)));
  };
  parser[HTTPParser.kOnMessageComplete | 0] = () => {
    current.ended = true;
    current = null;
    fields = [];
  };
  let result = parser.execute(latin1(row.bytes));
  if (!(result instanceof Error) && row.until_close) result = parser.finish();
  return { messages, error: result instanceof Error ? `${result.code}: ${result.reason}` : null };
}

function difference(row, { messages, error }) {
  if (error !== null) return error;
  const [first, second] = messages;
  if (!first || !first.ended) return 'no message end';
  const goesOn = row.bytes.length > row.size;
  if (messages.length !== (goesOn ? 2 : 1)) return `${messages.length} messages`;
  if (goesOn && (second.url !== '/next' && second.status !== 299)) return 'another next message';
  if (row.kind === 'request') {
    if (methods[first.method] !== row.method) return 'method';
    if (first.url !== row.target) return 'target';
  } else if (first.status !== row.status) {
    return 'status';
  }
  const pairs = [];
  for (let i = 0; i < first.fields.length; i += 2) pairs.push([first.fields[i], first.fields[i + 1]]);
  if (row.kind === 'request') {
    const hosts = pairs.filter(([name]) => name.toLowerCase() === 'host');
    if (hosts.length !== 1 || hosts[0][1] !== row.host) return 'host';
  }
  // Every field of ours is one of Node's, in the same order.
  let at = 0;
  for (const [name, value] of row.fields) {
    while (at < pairs.length && (pairs[at][0] !== name || pairs[at][1] !== value)) at += 1;
    if (at === pairs.length) return `field ${name}`;
    at += 1;
  }
  if (!Buffer.concat(first.body).equals(latin1(row.body))) return 'body';
  return null;
}

let total = 0;
let failed = 0;
const lines = readline.createInterface({ input: process.stdin, crlfDelay: Infinity });
lines.on('line', (line) => {
  const row = JSON.parse(line);
  total += 1;
  const why = difference(row, parse(row));
  if (why === null) return;
  failed += 1;
  if (failed <= 10) console.log(`${why}: ${JSON.stringify(row)}`);
});
lines.on('close', () => {
  console.log(`node ${process.version} (llhttp ${process.versions.llhttp}): ${total} messages, ${failed} read differently`);
  process.exitCode = failed === 0 && total > 0 ? 0 : 1;
});
