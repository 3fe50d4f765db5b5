'use strict';
// Shows /-/overview as it comes over /-/live. Names, models, paths and ids are others' words: everything is put in as
// text, nothing as markup (the policy of this page lets no script do otherwise).
(() => {
const $ = (id) => document.getElementById(id);
const SVG = 'http://www.w3.org/2000/svg';
const kept = 120; // samples of a sparkline

function el(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const name in attributes) made.setAttribute(name, attributes[name]);
  made.append(...children);
  return made;
}
function svg(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const name in attributes) made.setAttribute(name, attributes[name]);
  made.append(...children);
  return made;
}
// Writing what stands there already would cost a layout.
function say(node, text) { if (node.textContent !== text) node.textContent = text; }
function mark(node, name, value) { if (node.getAttribute(name) !== value) node.setAttribute(name, value); }
function show(node, yes) { if (node.hidden === yes) node.hidden = !yes; }

const dash = '–';
function span(s) {
  if (s === null || s === undefined) return dash;
  if (s === 0) return '0 s';
  if (s < 0.0995) return `${(s * 1000).toFixed(s < 0.00995 ? 1 : 0)} ms`;
  if (s < 9.995) return `${Number.isInteger(s) ? s : s.toFixed(2)} s`;
  if (s < 120) return `${s.toFixed(s < 100 && s % 1 ? 1 : 0)} s`;
  if (s < 7200) return `${Math.round(s / 60)} min`;
  return `${Math.round(s / 3600)} h`;
}
function share(x) {
  if (x === null || x === undefined) return dash;
  if (x === 0) return '0 %';
  if (x < 0.001) return '< 0.1 %';
  return `${(x * 100).toFixed(x < 0.1 ? 1 : 0)} %`;
}
function rate(perMinute) { return perMinute < 120 ? `${perMinute}/min` : `${(perMinute / 60).toFixed(perMinute < 6000 ? 1 : 0)}/s`; }
function count(n) { return n.toLocaleString('en'); }
function money(x) { return x === 0 ? '0' : x < 0.01 ? x.toPrecision(2) : x.toLocaleString('en', {minimumFractionDigits: 2, maximumFractionDigits: 2}); }
function bytes(n) { return n < 1 << 20 ? `${Math.round(n / 1024)} KiB` : `${Math.round(n / (1 << 20))} MiB`; }
function clock(unix) { return new Date(unix * 1000).toLocaleTimeString('en-GB'); }
function words(word) { return word.replaceAll('_', ' '); }
function sum(object) { let all = 0; for (const key in object) all += object[key]; return all; }

const shapes = {
  circle: 'M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13z',
  ring: 'M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM8 5a3 3 0 1 1 0 6 3 3 0 0 1 0-6z',
  half: 'M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM8 3.5v9a4.5 4.5 0 0 1 0-9z',
  diamond: 'M8 .5 15.5 8 8 15.5.5 8z',
  triangle: 'M8 1 15.5 15H.5z',
  square: 'M1.5 1.5h13v13h-13z',
  bars: 'M2 1.5h4.5v13H2zM9.5 1.5H14v13H9.5z',
  down: 'M1 3.5h14L8 14z',
};
function shape(name) { return svg('svg', {class: 'shape', viewBox: '0 0 16 16', 'aria-hidden': 'true'}, svg('path', {d: shapes[name], 'fill-rule': 'evenodd'})); }
const endpointStates = {
  up: ['circle', 'Up', 'good'], held_closed: ['bars', 'Held closed', 'notice'], second: ['down', 'Asked second', 'notice'], failing: ['triangle', 'Fails', 'trouble'],
  overloaded: ['triangle', 'Overloaded', 'trouble'], rests: ['half', 'Rests', 'trouble'], half_open: ['ring', 'Probed', 'trouble'],
  open: ['square', 'Open', 'down'], held_open: ['bars', 'Held open', 'notice'],
};
const routeStates = {
  serves: ['circle', 'Serves', 'good'], disturbed: ['triangle', 'Disturbed', 'trouble'],
  degraded: ['diamond', 'Degraded', 'trouble'], down: ['square', 'Down', 'down'],
};
const levels = {
  calm: ['circle', 'Calm.', 'good'], notice: ['diamond', 'Notice.', 'notice'],
  trouble: ['triangle', 'Trouble.', 'trouble'], down: ['square', 'Down.', 'down'],
};
const outcomes = {
  ok: ['circle', 'good'], rerouted: ['circle', 'notice'], retried: ['circle', 'notice'], hedged: ['circle', 'notice'],
  failed_over: ['circle', 'notice'], degraded: ['diamond', 'trouble'], upstream_error: ['square', 'down'],
  proxy_error: ['square', 'down'], rejected: ['bars', 'down'], truncated: ['square', 'down'], client_cancelled: ['ring', 'trouble'],
};
// Of a table of its own words, what is not in it being none of ours to show as markup or class.
function known(table, word, otherwise) { return Object.hasOwn(table, word) ? table[word] : otherwise; }

class State {
  constructor(table) { this.table = table; this.word = ''; this.node = el('span', {class: 'state'}); }
  update(word) {
    if (word === this.word) return;
    this.word = word;
    const [figure, text, tone] = known(this.table, word, ['diamond', word, 'notice']);
    this.node.className = `state ${tone}`;
    this.node.replaceChildren(shape(figure), text);
  }
}

// A series of samples, null where there was nothing to measure.
class Series {
  constructor() { this.values = []; }
  add(value) { this.values.push(value); if (this.values.length > kept) this.values.shift(); }
  mean() { let all = 0, n = 0; for (const v of this.values.slice(-60)) if (v !== null) { all += v; n++; } return n ? all / n : null; }
}

class Spark {
  constructor(washed) {
    this.path = svg('path', {});
    this.wash = washed ? svg('path', {class: 'wash'}) : null;
    this.node = svg('svg', {class: 'spark', viewBox: `0 0 ${kept} 20`, preserveAspectRatio: 'none', 'aria-hidden': 'true'});
    if (this.wash) this.node.append(this.wash);
    this.node.append(this.path);
  }
  draw(series, ceiling) {
    const values = series.values;
    let most = ceiling || 0;
    if (!ceiling) for (const v of values) if (v > most) most = v;
    let line = '', pen = false, first = -1, last = 0;
    const step = kept / Math.max(values.length, 40); // a young one is no speck
    for (let i = 0; i < values.length; i++) {
      const v = values[i];
      if (v === null) { pen = false; continue; }
      const x = (kept - (values.length - 1 - i) * step).toFixed(1), y = most > 0 ? (19 - 18 * Math.min(v / most, 1)).toFixed(1) : '19';
      line += pen ? `L${x} ${y}` : values[i + 1] === null || values[i + 1] === undefined ? `M${x} ${y}h.6` : `M${x} ${y}`;
      pen = true;
      if (first === -1) first = x;
      last = x;
    }
    mark(this.path, 'd', line || 'M0 0');
    if (this.wash) mark(this.wash, 'd', first === -1 ? 'M0 0' : `M${first} 20${line.replace(/M/g, 'L').replace(/h\.6/g, '')}L${last} 20z`);
  }
}

// What two documents tell by their difference.
class History {
  constructor() { this.rate = new Series(); this.errors = new Series(); this.latency = new Series(); this.token = new Series(); this.before = null; }
  add(now, seconds, errors, latency) {
    const was = this.before;
    this.before = now;
    if (!was || !(seconds > 0) || now.done < was.done) return;
    const mean = (key) => now[key][0] > was[key][0] ? (now[key][1] - was[key][1]) / (now[key][0] - was[key][0]) : null;
    this.rate.add((now.done - was.done) / seconds);
    this.errors.add(errors);
    this.latency.add(latency === undefined ? mean('duration') : latency);
    this.token.add(mean('token'));
  }
}

let current = null, previous = null, opened = null;
const histories = new Map(); // of routes and of their endpoints, by name
function keyOf(route, endpoint) { return endpoint ? `${route.name}\n${endpoint.upstream}\n${endpoint.endpoint}` : route.name; }
function historyOf(key) {
  let found = histories.get(key);
  if (!found) histories.set(key, found = new History());
  return found;
}
function remember(document_) {
  const seconds = previous ? document_.at - previous.at : 0, seen = new Set();
  const failing = (minute) => minute.success_rate === null ? null : 1 - minute.success_rate;
  for (const route of document_.routes) {
    seen.add(route.name);
    historyOf(route.name).add({done: sum(route.total.ended), duration: route.total.duration, token: route.total.first_token}, seconds, failing(route.minute));
    for (const endpoint of route.endpoints) {
      const key = keyOf(route, endpoint);
      seen.add(key);
      historyOf(key).add({done: sum(endpoint.total.attempts), token: endpoint.total.first_token}, seconds, failing(endpoint.minute), endpoint.minute.p95_s);
    }
  }
  for (const key of histories.keys()) if (!seen.has(key)) histories.delete(key);
}

// The table of routes.
const columns = [['name', 'Route'], ['state', 'State'], ['rate', 'Requests'], ['errors', 'Errors'], ['latency', 'Latency P95'], ['token', 'First token'], ['flight', 'In flight'], ['timeout', 'Timeout']];
for (const [key, label] of columns) $('routes-head').append(el('th', {role: 'columnheader', scope: 'col', class: `c-${key}`}, label));

class Row { // a route's, or an endpoint's
  constructor(table, head, kind) {
    this.node = el('tr', {role: 'row', class: kind});
    this.state = new State(table);
    this.node.append(head);
    this.numbers = {};
    this.sparks = {};
    for (const [key, label] of columns.slice(1)) {
      const cell = el('td', {role: 'cell', class: `c-${key}`, 'data-label': label});
      if (key === 'state') cell.append(this.state.node);
      else if (key === 'rate' || key === 'errors' || key === 'latency' || key === 'token') {
        this.numbers[key] = el('span', {class: 'num'});
        this.sparks[key] = new Spark(key === 'rate');
        if (key === 'errors') this.sparks[key].node.classList.add('warm');
        cell.append(this.numbers[key], this.sparks[key].node);
      } else this.numbers[key] = cell;
      this.node.append(cell);
    }
  }
  update(state, minute, history, flight, timeout) {
    this.state.update(state);
    say(this.numbers.rate, rate(minute.requests));
    const failing = minute.success_rate === null ? null : 1 - minute.success_rate;
    say(this.numbers.errors, share(failing));
    this.numbers.errors.classList.toggle('bad', failing >= 0.05);
    say(this.numbers.latency, span(minute.p95_s));
    say(this.numbers.token, span(history.token.mean()));
    say(this.numbers.flight, flight);
    say(this.numbers.timeout, timeout);
    for (const key in this.sparks) this.sparks[key].draw(history[key], key === 'errors' ? 1 : 0);
  }
}

class EndpointView {
  constructor(route, endpoint) {
    this.key = keyOf(route, endpoint);
    const name = endpoint.endpoint ? `${endpoint.upstream} · ${endpoint.endpoint}` : endpoint.upstream;
    this.button = el('button', {type: 'button', class: 'open', 'aria-haspopup': 'dialog'}, el('bdi', {}, name));
    this.button.addEventListener('click', () => openEndpoint(route.name, endpoint));
    this.note = el('span', {class: 'note'});
    this.row = new Row(endpointStates, el('th', {role: 'rowheader', scope: 'row', class: 'c-name'}, this.button, this.note), 'end');
  }
  update(endpoint) {
    const learned = endpoint.learned;
    const timeout = learned.timeout_stream_s === learned.timeout_buffered_s ? span(learned.timeout_stream_s)
      : `${span(learned.timeout_stream_s)} / ${span(learned.timeout_buffered_s)}`;
    say(this.note, endpoint.note);
    mark(this.row.numbers.timeout, 'title', `a stream ${span(learned.timeout_stream_s)}, a whole answer ${span(learned.timeout_buffered_s)}`);
    this.row.update(endpoint.state, endpoint.minute, historyOf(this.key), '', timeout);
  }
}

const views = new Map(); // of routes, by name
const watch = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const view = views.get(entry.target.dataset.name);
    if (view) view.near = entry.isIntersecting;
  }
  draw();
}, {rootMargin: '300px'});

class RouteView {
  constructor(route) {
    this.name = route.name;
    this.endpoints = new Map();
    this.unfolded = false;
    this.near = true;
    this.size = el('span', {class: 'count dim'});
    this.button = el('button', {type: 'button', class: 'fold', 'aria-expanded': 'false'},
      svg('svg', {viewBox: '0 0 10 10', 'aria-hidden': 'true'}, svg('path', {d: 'M2 0l6 5-6 5z'})), el('span', {}, el('bdi', {}, route.name), ' ', this.size));
    this.button.addEventListener('click', () => { this.unfold(!this.unfolded); draw(); });
    this.row = new Row(routeStates, el('th', {role: 'rowheader', scope: 'row', class: 'c-name'}, this.button), 'route');
    this.node = el('tbody', {role: 'rowgroup', 'data-name': route.name}, this.row.node);
    watch.observe(this.node);
  }
  unfold(yes) {
    this.unfolded = yes;
    mark(this.button, 'aria-expanded', String(yes));
    for (const view of this.endpoints.values()) show(view.row.node, yes);
  }
  update(route) {
    const trouble = route.state !== 'serves' || route.endpoints.some((one) => one.state !== 'up');
    mark(this.node, 'data-tone', known(routeStates, route.state, ['', '', 'none'])[2]);
    if (trouble && !this.troubled) this.unfold(true);
    this.troubled = trouble;
    const n = route.endpoints.length;
    say(this.size, n === 0 ? 'in parts' : `${n} ${n === 1 ? 'endpoint' : 'endpoints'}`);
    if (!this.near) return;
    const waits = [];
    if (route.holding) waits.push(`${route.holding} held`);
    if (route.bulkhead && route.bulkhead.queued) waits.push(`${route.bulkhead.queued} queued`);
    this.row.update(route.state, route.minute, historyOf(route.name), route.in_flight + (waits.length ? ` (${waits.join(', ')})` : ''), span(route.timeout_s));
    if (!this.unfolded) return;
    const here = new Set();
    for (const endpoint of route.endpoints) {
      const key = keyOf(route, endpoint);
      here.add(key);
      let view = this.endpoints.get(key);
      if (!view) {
        this.endpoints.set(key, view = new EndpointView(route, endpoint));
        this.node.append(view.row.node);
      }
      view.update(endpoint);
    }
    for (const [key, view] of this.endpoints) if (!here.has(key)) { view.row.node.remove(); this.endpoints.delete(key); }
  }
}

const badness = {down: 0, degraded: 1, disturbed: 2, serves: 3};
const orders = {
  trouble: (a, b) => known(badness, a.state, 2) - known(badness, b.state, 2),
  file: () => 0,
  rate: (a, b) => b.minute.requests - a.minute.requests,
  errors: (a, b) => (1 - (b.minute.success_rate ?? 1)) - (1 - (a.minute.success_rate ?? 1)),
  latency: (a, b) => (b.minute.p95_s ?? 0) - (a.minute.p95_s ?? 0),
};
let ordered = '', orderedAt = 0;
function arrange(routes) {
  const table = $('routes-table'), by = $('sort').value;
  const wanted = [...routes].sort(known(orders, by, orders.trouble)).map((route) => route.name);
  const key = JSON.stringify(wanted);
  if (key === ordered) return;
  // Nothing moves under a pointer or a focus, and what is ordered by numbers not at every breath of theirs.
  const held = ordered !== '' && arrangedBy === by && (table.matches(':hover') || table.contains(document.activeElement) || (by !== 'trouble' && Date.now() - orderedAt < 5000));
  if (held && wanted.length === table.tBodies.length) return;
  ordered = key;
  arrangedBy = by;
  orderedAt = Date.now();
  for (const name of wanted) table.append(views.get(name).node);
}
let arrangedBy = '';

function matchesFilter(text, route) {
  if (!text) return true;
  const [, word] = known(routeStates, route.state, ['', '', '']);
  const own = [route.name, word];
  for (const one of route.endpoints) own.push(one.upstream, one.endpoint, known(endpointStates, one.state, ['', ''])[1], one.note);
  return own.some((each) => each.toLowerCase().includes(text));
}

function drawRoutes(overview) {
  const all = overview.routes.reduce((n, route) => n + route.endpoints.length, 0);
  const names = new Set();
  for (const route of overview.routes) {
    names.add(route.name);
    if (views.has(route.name)) continue;
    const view = new RouteView(route);
    views.set(route.name, view);
    if (all <= 12) view.unfold(true);
  }
  for (const [name, view] of views) if (!names.has(name)) { watch.unobserve(view.node); view.node.remove(); views.delete(name); ordered = ''; }
  arrange(overview.routes);
  const text = $('filter').value.trim().toLowerCase();
  let shown = 0;
  for (const route of overview.routes) {
    const view = views.get(route.name), fits = matchesFilter(text, route);
    show(view.node, fits);
    if (fits) { shown++; view.update(route); }
  }
  say($('routes-count'), text ? `${shown} of ${overview.routes.length}` : `${overview.routes.length}, with ${all} endpoints`);
  show($('routes-none'), shown === 0);
  say($('unfold'), overview.routes.every((route) => views.get(route.name).unfolded) ? 'Hide endpoints' : 'Show all endpoints');
}

// The sentence.
let announced = '';
function drawVerdict(overview) {
  const [figure, word, tone] = known(levels, overview.level, levels.notice);
  const node = $('verdict');
  if (node.dataset.tone !== tone) {
    node.dataset.tone = tone;
    const mark_ = shape(figure);
    mark_.classList.add(tone);
    $('verdict-shape').replaceChildren(mark_);
  }
  say($('verdict-word'), word);
  say($('verdict-sentence'), overview.sentence);
  say($('version'), overview.version);
  const title = overview.level === 'calm' ? 'evenkeel' : `${word.slice(0, -1)} – evenkeel`;
  if (document.title !== title) document.title = title;
  // A countdown is no news.
  const news = `${word} ${overview.sentence}`.replace(/\d+ (s|min|h)\b/g, 'some time');
  if (news !== announced) { announced = news; $('announce').textContent = `${word} ${overview.sentence}`; }
}

// Small tables whose rows are made anew when their words change.
function fill(table, head, rows) {
  const key = JSON.stringify([head, rows]);
  if (table.dataset.key === key) return;
  table.dataset.key = key;
  const row = (cells, tag) => el('tr', {role: 'row'}, ...cells.map((text, i) => {
    const first = i === 0;
    const cell = el(tag === 'th' || first ? 'th' : 'td', tag === 'th' ? {role: 'columnheader', scope: 'col'} : first ? {role: 'rowheader', scope: 'row'} : {role: 'cell'});
    if (!first) { cell.className = 'n'; cell.dataset.label = head[i]; }
    cell.append(el('bdi', {}, text));
    return cell;
  }));
  table.replaceChildren(el('thead', {role: 'rowgroup'}, row(head, 'th')), el('tbody', {role: 'rowgroup'}, ...rows.map((cells) => row(cells, 'td'))));
}

const kindWords = {first: 'first', retry: 'retries', stale_retry: 'on a stale connection, again', hedge: 'hedges', plain_retry: 'without a stream, again', rescue: 'rescues', probe: 'probes'};
const spentWords = {served: 'in answers', lost_hedge: 'lost hedges', rescued: 'rescued', failed: 'failed', cancelled: 'left by clients', probed: 'probes'};
function drawBill(overview) {
  const bill = overview.bill, base = opened.bill;
  const attempts = sum(bill.attempts), tokens = sum(bill.tokens), cost = sum(bill.cost);
  const extra = attempts - bill.attempts.first, lost = tokens - bill.tokens.served;
  say($('bill-sentence'), attempts === 0 ? 'Nothing has been sent upstream since the start.'
    : `Since the start ${count(attempts)} attempts, ${share(extra / attempts)} of them extra` +
      (tokens ? lost ? `; ${share(lost / tokens)} of the tokens went into no answer` : '; every token went into an answer' : '') +
      (cost > bill.cost.served ? `, which cost ${money(cost - bill.cost.served)} of ${money(cost)}` : cost ? `; all cost ${money(cost)}` : '') + '.');
  const some = (object, key) => key === 'first' || key === 'served' || object[key] > 0;
  fill($('attempts'), ['Kind', 'Since the start', 'Since you look', 'Share'],
    Object.keys(kindWords).filter((key) => some(bill.attempts, key)).map((key) =>
      [kindWords[key], count(bill.attempts[key]), count(bill.attempts[key] - base.attempts[key]), attempts ? share(bill.attempts[key] / attempts) : dash]));
  const priced = cost > 0;
  fill($('tokens'), ['Spent', 'Since the start', 'Since you look', ...(priced ? ['Money'] : ['Share'])],
    Object.keys(spentWords).filter((key) => some(bill.tokens, key)).map((key) =>
      [spentWords[key], count(bill.tokens[key]), count(bill.tokens[key] - base.tokens[key]), priced ? money(bill.cost[key]) : tokens ? share(bill.tokens[key] / tokens) : dash])
      .concat(bill.estimated ? [['of these estimated', count(bill.estimated), '', '']] : []));
  drawBudgets(overview);
}

const budgets = new Map();
function drawBudgets(overview) {
  const table = $('budgets'), here = new Set();
  if (!table.tHead) {
    table.append(el('thead', {role: 'rowgroup'}, el('tr', {role: 'row'}, ...['Upstream', 'Left, in attempts'].map((text) => el('th', {role: 'columnheader', scope: 'col'}, text)))), el('tbody', {role: 'rowgroup'}));
  }
  for (const route of overview.routes) for (const one of route.endpoints) {
    if (here.has(one.upstream)) continue;
    here.add(one.upstream);
    let row = budgets.get(one.upstream);
    if (!row) {
      const meter = el('meter', {min: '0', 'aria-label': `Budget left of ${one.upstream}`});
      const left = el('span', {class: 'num'});
      row = {meter, left, node: el('tr', {role: 'row'}, el('th', {role: 'rowheader', scope: 'row'}, el('bdi', {}, one.upstream)), el('td', {role: 'cell'}, left, meter))};
      budgets.set(one.upstream, row);
      table.tBodies[0].append(row.node);
    }
    const level = one.budget.level.toFixed(1);
    if (row.was !== level + one.budget.burst) {
      row.was = level + one.budget.burst;
      row.meter.max = Math.max(one.budget.burst, 0.1);
      row.meter.low = row.meter.max / 4;
      row.meter.optimum = row.meter.max;
      row.meter.value = one.budget.level;
      say(row.left, `${level} of ${one.budget.burst}`);
    }
  }
  for (const [name, row] of budgets) if (!here.has(name)) { row.node.remove(); budgets.delete(name); }
}

function drawChaos(overview) {
  const chaos = overview.chaos, rules = chaos ? chaos.rules : [];
  show($('chaos-off'), rules.length > 0);
  show($('chaos'), rules.length > 0);
  show($('chaos-new'), Boolean(chaos && chaos.enabled));
  say($('chaos-sentence'), !chaos || !chaos.enabled ? 'Faults can be injected where the file says chaos.enabled: true; here it does not.'
    : rules.length ? 'Some of what is shown above is done on purpose:' : 'No fault is injected.');
  if (rules.length) fill($('chaos'), ['Route', 'Upstream', 'Fault', 'Share', 'Time left', 'Injected'],
    rules.map((rule) => [rule.route, rule.upstream || 'any', words(rule.fault || rule.profile), share(rule.probability), span(Math.ceil(rule.left_s)), count(rule.injected)]));
  options($('chaos-route'), overview.routes.filter((route) => route.endpoints.length).map((route) => route.name));
  chaosUpstreams();
}
function options(select, names) {
  const key = JSON.stringify(names);
  if (select.dataset.key === key) return;
  const was = select.value;
  select.dataset.key = key;
  select.replaceChildren(...names.map((name) => { const one = el('option', {}, name || 'any'); one.value = name; return one; }));
  if (names.includes(was)) select.value = was;
}
function chaosUpstreams() {
  const route = current && current.routes.find((one) => one.name === $('chaos-route').value);
  options($('chaos-upstream'), ['', ...new Set(route ? route.endpoints.map((one) => one.upstream) : [])]);
}

function facts(list, rows) {
  const key = JSON.stringify(rows);
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  list.replaceChildren(...rows.flatMap(([name, text]) => [el('dt', {}, name), el('dd', {}, el('bdi', {}, text))]));
}
function drawConfiguration(overview) {
  const file = overview.configuration, process = overview.process;
  if (!file) return;
  const rows = [['File', file.file || dash], ['Hash', file.hash || dash], ['In force since', clock(file.loaded_at)]];
  if (file.tried_at) rows.push(['Last reload', `${clock(file.tried_at)}: ${file.last_reload_ok ? 'taken' : 'not taken, the configuration before it stays in force'}`]);
  if (file.restart_required.length) rows.push(['Wait for a restart', file.restart_required.join(', ')]);
  rows.push(['Process', `up ${span(Math.floor((overview.at - overview.started_at) / 60) * 60)}, ${bytes(process.resident_bytes)} resident`]);
  if (process.memory_limit) rows.push(['Bodies held', `${bytes(process.memory_held)} of ${bytes(process.memory_limit)}`]);
  if (process.access_log_dropped) rows.push(['Log lines dropped', count(process.access_log_dropped)]);
  facts($('config-facts'), rows);
  show($('config-problem'), !file.last_reload_ok);
  say($('config-diagnostics'), file.problem || '');
}

// The disturbed requests.
let latest = [], shownRequests = '';
const keyOfRequest = (one) => JSON.stringify([one.id, one.ts, one.route, one.part_of]);
const requestViews = new Map();
function tryWords(one) {
  const status = one.status ? ` ${one.status}` : '', cause = one.cause && one.cause !== one.end ? ` (${words(one.cause)})` : '';
  return `${one.kind === 'first' ? '' : `${words(one.kind)} `}${one.upstream || 'nobody'}${one.endpoint ? ` ${one.endpoint}` : ''}: ${words(one.end)}${status}${cause} ${span(one.duration_s)}`;
}
function timeline(one) {
  const tries = one.tries || [], height = 8 * Math.max(tries.length, 1);
  const total = Math.max(one.duration_s, ...tries.map((each) => each.at_s + each.duration_s), 0.001);
  const picture = svg('svg', {class: 'timeline', viewBox: `0 0 1000 ${height}`, preserveAspectRatio: 'none', height: String(height), 'aria-hidden': 'true'});
  tries.forEach((each, i) => {
    const tone = each.committed && each.end === 'success' ? 'good' : each.end === 'success' || each.end === 'cancelled' || each.end === 'answering' ? 'quietly' : 'down';
    const width = Math.max(1000 * each.duration_s / total, 6);
    picture.append(svg('rect', {class: tone, x: String(Math.min(1000 * each.at_s / total, 994)), y: String(8 * i + 1), width: String(width), height: '6'}));
  });
  return picture;
}
class RequestView {
  constructor(one) {
    const [figure, tone] = known(outcomes, one.outcome, ['diamond', 'notice']);
    const what = el('span', {class: 'what'}, el('strong', {}, el('bdi', {}, one.route || 'no route')),
      el('span', {class: `state ${tone}`}, shape(figure), words(one.outcome)), el('span', {}, String(one.status || 'no answer')), el('span', {}, span(one.duration_s)));
    if (one.model) what.append(el('bdi', {class: 'dim'}, one.model));
    if (one.part_of) what.append(el('bdi', {class: 'dim'}, `part of ${one.part_of}`));
    const tries = (one.tries || []).map(tryWords).join(' → ');
    this.more = el('div', {class: 'more'});
    this.node = el('li', {}, el('details', {}, el('summary', {}, el('time', {class: 'when', datetime: one.ts}, clock(Date.parse(one.ts) / 1000)), what,
      el('span', {class: 'says'}, el('bdi', {}, one.conclusion)), el('span', {class: 'tries'}, el('bdi', {}, tries || 'nothing was sent')), el('span', {class: 'line'}, timeline(one))), this.more));
    this.details = this.node.firstChild;
    this.details.addEventListener('toggle', () => { if (this.details.open && !this.told) this.tell(one); });
  }
  async tell(one) {
    this.told = true;
    if (!one.id) return this.more.replaceChildren('It has no id to ask for.');
    try {
      const answer = await fetch(`/-/requests/${encodeURIComponent(one.id)}`);
      const found = await answer.json();
      if (!answer.ok) return this.more.replaceChildren(found.error || 'Nothing more is kept of it.');
      const whole = found.requests.find((each) => keyOfRequest(each) === keyOfRequest(one)) || found.requests[0];
      const about = [['Request', `${whole.method} ${whole.path}`], ['Id', whole.id]];
      for (const [name, key] of [['Trace', 'trace_id'], ['Client', 'client'], ['Credential', 'credential'], ['Upstream id', 'upstream_request_id']]) if (whole[key]) about.push([name, whole[key]]);
      const list = el('dl', {class: 'facts'});
      facts(list, about);
      this.more.replaceChildren(el('ol', {}, ...whole.story.map((each) => el('li', {}, el('span', {class: 'dim'}, `${each.at_s.toFixed(3)} s`), el('bdi', {}, each.says)))), list);
    } catch { this.told = false; this.more.replaceChildren('It could not be asked for; close and open it again.'); }
  }
}
function drawRequests(force) {
  const list = $('request-list');
  const text = $('filter').value.trim().toLowerCase();
  const fits = (one) => !text || [one.route, one.outcome, one.upstream, one.model, one.id, ...(one.tries || []).map((each) => each.upstream)].some((word) => (word || '').toLowerCase().includes(text));
  const wanted = latest.filter(fits), keys = wanted.map(keyOfRequest), key = JSON.stringify(keys);
  show($('requests-none'), latest.length === 0);
  if (key === shownRequests) { show($('newer'), false); return; }
  // Whoever reads one keeps it where it is.
  const reading = list.contains(document.activeElement) || list.querySelector('details[open]');
  if (reading && !force) {
    const fresh = keys.filter((each) => !requestViews.has(each)).length;
    say($('newer'), `Show ${fresh} newer`);
    show($('newer'), fresh > 0);
    return;
  }
  shownRequests = key;
  show($('newer'), false);
  for (const each of requestViews.keys()) if (!keys.includes(each)) { requestViews.get(each).node.remove(); requestViews.delete(each); }
  wanted.forEach((one, i) => {
    let view = requestViews.get(keys[i]);
    if (!view) requestViews.set(keys[i], view = new RequestView(one));
    if (list.children[i] !== view.node) list.insertBefore(view.node, list.children[i] || null);
  });
}

// Control: everything is asked once more, in words.
async function post(path, body) {
  const answer = await fetch(path, {method: 'POST', body});
  if (answer.status === 401) return location.reload();
  let told = {};
  try { told = await answer.json(); } catch { /* said by its status */ }
  return {ok: answer.ok, text: told.message || told.error || `The answer was ${answer.status}.`, detail: told.diagnostics || (told.restart_required ? `Waits for a restart: ${told.restart_required.join(', ')}` : '')};
}
let asked = null;
function ask(title, text, yes, path, body) {
  asked = {path, body};
  say($('ask-title'), title);
  say($('ask-text'), text);
  say($('ask-yes'), yes);
  say($('ask-no'), 'Cancel');
  show($('ask-yes'), true);
  show($('ask-detail'), false);
  $('ask-yes').disabled = false;
  $('ask').showModal();
  $('ask-no').focus(); // whoever presses a key too often has done nothing
}
$('ask-yes').addEventListener('click', async () => {
  $('ask-yes').disabled = true;
  let done;
  try { done = await post(asked.path, asked.body); } catch { done = {ok: false, text: 'The process could not be reached.', detail: ''}; }
  if (!done) return;
  say($('ask-title'), done.ok ? 'Done' : 'It was not done');
  say($('ask-text'), done.text);
  say($('ask-detail'), done.detail);
  show($('ask-detail'), done.detail !== '');
  show($('ask-yes'), false);
  say($('ask-no'), 'Close');
  $('ask-no').focus();
});
$('ask-no').addEventListener('click', () => $('ask').close());

let looked = null;
function openEndpoint(route, endpoint) {
  looked = {route, upstream: endpoint.upstream, endpoint: endpoint.endpoint};
  drawEndpoint();
  $('endpoint').showModal();
  $('endpoint-close').focus();
}
$('endpoint-close').addEventListener('click', () => $('endpoint').close());
$('endpoint').addEventListener('close', () => { looked = null; });
function drawEndpoint() {
  if (!looked || !current) return;
  const route = current.routes.find((one) => one.name === looked.route);
  const one = route && route.endpoints.find((each) => each.upstream === looked.upstream && each.endpoint === looked.endpoint);
  if (!one) return $('endpoint').close(); // it is no longer configured
  const name = one.endpoint ? `${one.upstream} · ${one.endpoint}` : one.upstream;
  say($('endpoint-title'), `${name}, for ${route.name}`);
  say($('endpoint-note'), one.note ? `${one.upstream} ${one.note}.` : 'It is up.');
  const rows = [['Address', one.url], ['Last minute', `${one.minute.requests} attempts, ${one.minute.success_rate === null ? 'none told' : `${share(1 - one.minute.success_rate)} failed`}, P95 ${span(one.minute.p95_s)}`]];
  if (one.circuit) rows.push(['Circuit', `${words(one.circuit.state)}${one.circuit.forced ? ', held by an operator' : ''}; ${one.circuit.failures} of ${one.circuit.calls} attempts failed in its window` + (one.circuit.next_probe_s === null ? '' : `; next probe in ${span(Math.ceil(one.circuit.next_probe_s))}`)]);
  else rows.push(['Circuit', 'off']);
  rows.push(['Rest', one.rest ? `${words(one.rest.why)}, ${span(Math.ceil(one.rest.left_s))} more${one.rest.guessed ? ' (our guess)' : ' (as it asked)'}` : 'none']);
  for (const key of one.credentials || []) rows.push([`Key ${key.name}`, key.state === 'well' ? `well, ${key.in_flight} under way` : `${words(key.state)} (${words(key.why)})${key.asked_again_s === null ? '' : `, ${span(Math.ceil(key.asked_again_s))} more`}, ${key.in_flight} under way`]);
  if (one.doubt) rows.push(['Doubt', `${one.doubt.why} for ${span(Math.floor(one.doubt.for_s))}` + (one.doubt.next_probe_s === null ? '; the next request may look' : `; looked at in ${span(Math.ceil(one.doubt.next_probe_s))}`)]);
  for (const own of one.models || []) rows.push([`Model ${own.model}`, [own.circuit && `circuit ${words(own.circuit.state)}` + (own.circuit.next_probe_s === null ? '' : `, next probe in ${span(Math.ceil(own.circuit.next_probe_s))}`), own.doubt && `asked second: ${own.doubt.why} for ${span(Math.floor(own.doubt.for_s))}`].filter(Boolean).join('; ')]);
  if (one.overload) rows.push(['Overload', words(one.overload.state) + (one.overload.limit === null ? '' : `, ${one.overload.in_service} of ${Math.round(one.overload.limit)} in service`)]);
  if (one.last_failure) rows.push(['Last failure', `${words(one.last_failure.result)}${one.last_failure.status ? ` ${one.last_failure.status}` : ''}, ${span(Math.floor(one.last_failure.ago_s))} ago`]);
  rows.push(['Learned', one.learned.samples ? `P50 ${span(one.learned.p50_s)}, P95 ${span(one.learned.p95_s)}, from ${count(one.learned.samples)} attempts` : 'nothing yet'],
    ['Timeout', `streams ${span(one.learned.timeout_stream_s)}, whole answers ${span(one.learned.timeout_buffered_s)}`],
    ['Attempts', `${count(sum(one.total.attempts))} since the start, ${count(one.total.failed)} failed, ${count(one.total.cancelled)} cancelled`]);
  facts($('endpoint-facts'), rows);
  const controls = $('endpoint-controls'), key = JSON.stringify([one.circuit && one.circuit.forced && one.circuit.state, Boolean(one.circuit), Boolean(one.rest), (one.credentials || []).map((key) => [key.name, key.state, key.why]), looked]);
  if (controls.dataset.key === key) return;
  controls.dataset.key = key;
  const target = encodeURIComponent(one.upstream), which = one.endpoint ? `endpoint=${encodeURIComponent(one.endpoint)}` : '';
  const circuit = (state) => `/-/circuits/${target}?state=${state}${which && `&${which}`}`;
  const button = (text, kind, ...how) => { const made = el('button', {type: 'button', class: kind}, text); made.addEventListener('click', () => ask(...how)); return made; };
  const made = [];
  if (one.circuit) {
    if (!(one.circuit.forced && one.circuit.state === 'open')) made.push(button('Drain: hold its circuit open', 'danger', `Drain ${name}?`, `Nothing new is sent to ${name}, for every route that uses it, until its circuit is released. What is in flight ends by itself; where no other endpoint is up, requests are refused.`, 'Drain it', circuit('open')));
    if (!(one.circuit.forced && one.circuit.state === 'closed')) made.push(button('Hold its circuit closed', 'quiet', `Hold ${name} closed?`, 'However much fails there, nothing opens its circuit until it is released. A doubt about it ends.', 'Hold it closed', circuit('closed')));
    if (one.circuit.forced) made.push(button('Release its circuit', 'quiet', `Release ${name}?`, 'Its circuit goes by what happens again.', 'Release it', circuit('auto')));
  }
  if (one.rest) made.push(button('End its rest', 'quiet', `End the rests of ${name}?`, 'It is asked again at once, for every credential and model. If it still refuses, it rests anew.', 'End them', `/-/rests/${target}${which && `?${which}`}`));
  for (const key of one.credentials || []) {
    const put = (state) => `/-/credentials/${target}?name=${encodeURIComponent(key.name)}&state=${state}`;
    if (key.state !== 'drained') made.push(button(`Drain key ${key.name}`, 'danger', `Drain ${key.name}?`, `No new request of any route uses ${key.name}, until it is released. What is under way with it ends by itself.`, 'Drain it', put('drained')));
    if (key.state !== 'well') made.push(button(`Release key ${key.name}`, 'quiet', `Release ${key.name}?`, 'It is asked again, as if nothing had been said of it. If it is refused again, it rests anew.', 'Release it', put('well')));
  }
  if (!made.length) made.push(el('p', {class: 'dim'}, 'It has no circuit (circuit_breaker: off) and does not rest.'));
  const focused = controls.contains(document.activeElement);
  controls.replaceChildren(...made);
  if (focused) $('endpoint-close').focus();
}

$('reload').addEventListener('click', () => ask('Reload the file?', 'The configuration file is read again. A file with an error changes nothing. Requests in flight keep what they began with.', 'Reload', '/-/reload'));
$('chaos-off').addEventListener('click', () => ask('End every fault?', 'Every rule ends at once, those of the file too; they come back when they are changed there, or with a restart.', 'End them', '/-/chaos/off'));
$('chaos-route').addEventListener('change', chaosUpstreams);
$('chaos-fault').addEventListener('change', () => {
  show($('chaos-delay-label'), $('chaos-fault').value === 'latency');
  show($('chaos-status-label'), $('chaos-fault').value === 'abort');
});
$('chaos-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const rule = {route: $('chaos-route').value, fault: $('chaos-fault').value, probability: Number($('chaos-share').value) / 100, for: `${$('chaos-minutes').value}m`};
  if ($('chaos-upstream').value) rule.upstream = $('chaos-upstream').value;
  if (rule.fault === 'latency') rule.delay = `${Math.round(Number($('chaos-delay').value) * 1000)}ms`;
  if (rule.fault === 'abort') rule.status = Number($('chaos-status').value);
  ask(`Inject ${words(rule.fault)}?`, `Real requests of ${rule.route} suffer it: ${$('chaos-share').value} % of the attempts${rule.upstream ? ` at ${rule.upstream}` : ''}, for ${$('chaos-minutes').value} minutes. It takes the place of the rules in force.`, 'Inject it', '/-/chaos', JSON.stringify({rules: [rule]}));
});

$('filter').addEventListener('input', () => { draw(); drawRequests(true); });
$('sort').addEventListener('change', draw);
$('unfold').addEventListener('click', () => {
  const all = [...views.values()], yes = !all.every((view) => view.unfolded);
  for (const view of all) view.unfold(yes);
  draw();
});
$('newer').addEventListener('click', () => { drawRequests(true); $('request-list').querySelector('summary')?.focus(); });
document.addEventListener('keydown', (event) => {
  if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey || event.target.closest('input,select,textarea,dialog')) return;
  event.preventDefault();
  $('filter').focus();
});
show($('logout'), document.body.dataset.session === 'yes');

// A document is drawn once, however many have come since the last frame.
let drawing = false;
function draw() {
  if (drawing || !current) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    const began = performance.now();
    drawVerdict(current);
    drawRoutes(current);
    drawBill(current);
    drawChaos(current);
    drawConfiguration(current);
    drawEndpoint();
    document.body.dataset.drawn = String((Number(document.body.dataset.drawn) || 0) + 1);
    document.body.dataset.took = (performance.now() - began).toFixed(1);
  });
}
let heard = 0;
function take(text) {
  const fresh = JSON.parse(text);
  if (previous && fresh.started_at !== previous.started_at) { histories.clear(); previous = null; opened = null; }
  remember(fresh);
  current = previous = fresh;
  opened = opened || fresh;
  heard = Date.now();
  connection();
  draw();
}
function takeRequests(text) { latest = JSON.parse(text).requests; drawRequests(false); }

function connection() {
  const silent = heard ? Math.round((Date.now() - heard) / 1000) : 0, lost = heard > 0 && silent > 4;
  say($('link'), !heard ? 'connecting' : lost ? `no news for ${silent} s` : 'live');
  mark($('link'), 'data-tone', lost ? 'lost' : 'live');
  mark(document.body, 'data-stale', lost ? 'yes' : 'no');
}
setInterval(connection, 1000);

// Where one more may not listen, it is asked now and then; where the session is over, the form is shown.
async function poll() {
  try {
    const answer = await fetch('/-/overview');
    if (answer.status === 401) return location.reload();
    if (answer.ok) take(await answer.text());
    const requests = await fetch('/-/requests?disturbed&tries&limit=25');
    if (requests.ok) takeRequests(await requests.text());
  } catch { /* it is told by how long there has been no news */ }
}
let polls = 0;
// A browser has six connections to one place, and a page that nobody sees needs none.
let source = null;
document.addEventListener('visibilitychange', () => {
  if (document.hidden && source) { source.close(); source = null; } else if (!document.hidden && !source) listen();
});
function listen() {
  if (document.hidden) return;
  source = new EventSource('/-/live');
  source.addEventListener('overview', (event) => take(event.data));
  source.addEventListener('requests', (event) => takeRequests(event.data));
  source.addEventListener('error', () => {
    if (!source || source.readyState !== EventSource.CLOSED) return; // it comes back by itself
    const again = setInterval(async () => { await poll(); if (++polls % 5 === 0) { clearInterval(again); listen(); } }, 3000);
    poll();
  });
}
listen();
})();
