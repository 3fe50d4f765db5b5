// The manifests of deploy/kubernetes: `kubernetes.mjs PROGRAM FOLDER`. Each is what the published schemas say, without
// a field that they do not know; what refers to each other fits; the program takes the files that the pods get, serves
// with them where the probes ask, takes an update of them as the kubelet makes one, and has the time and memory that they
// give it. Exit 1 with a line for each breach.

import { execFileSync, spawn } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync,
         writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const [program, folder] = process.argv.slice(2);
const modules = join(dirname(fileURLToPath(import.meta.url)), 'node_modules');
if (!existsSync(modules)) {
  console.log('skipped: the schemas are not installed (npm install in tests/deploy)');
  process.exit(0);
}
const require = createRequire(import.meta.url);
const { parseAllDocuments } = require('yaml');

const breaches = [];
const hold = (holds, what) => { if (!holds) breaches.push(what); };

const OPERATOR = '@kubernetes-models/prometheus-operator';
const SCHEMAS = {
  'apps/v1 Deployment': ['kubernetes-models', 'IoK8sApiAppsV1Deployment'],
  'autoscaling/v2 HorizontalPodAutoscaler': ['kubernetes-models', 'IoK8sApiAutoscalingV2HorizontalPodAutoscaler'],
  'monitoring.coreos.com/v1 PodMonitor': [OPERATOR, 'MonitoringCoreosComV1PodMonitor'],
  'monitoring.coreos.com/v1 PrometheusRule': [OPERATOR, 'MonitoringCoreosComV1PrometheusRule'],
  'networking.k8s.io/v1 NetworkPolicy': ['kubernetes-models', 'IoK8sApiNetworkingV1NetworkPolicy'],
  'policy/v1 PodDisruptionBudget': ['kubernetes-models', 'IoK8sApiPolicyV1PodDisruptionBudget'],
  'v1 Service': ['kubernetes-models', 'IoK8sApiCoreV1Service'],
};

// A value that notes which of its fields are looked at: a schema looks at those that it knows.
function watched(value, unread, path = '') {
  if (typeof value !== 'object' || value === null) return value;
  const inner = {};
  for (const key of Object.keys(value)) unread.add(`${path}/${key}`);
  return new Proxy(value, {
    get(target, key) {
      const own = typeof key === 'string' && Object.hasOwn(target, key) && !(Array.isArray(target) && key === 'length');
      if (!own) return target[key];
      unread.delete(`${path}/${key}`);
      return (inner[key] ??= watched(target[key], unread, `${path}/${key}`));
    },
  });
}

function problemsOf(manifest) {
  const schema = SCHEMAS[`${manifest.apiVersion} ${manifest.kind}`];
  if (!schema) return [`there is no schema of ${manifest.apiVersion} ${manifest.kind}`];
  const { validate } = require(join(modules, schema[0], '_schemas', `${schema[1]}.js`));
  const unread = new Set();
  if (!validate(watched(manifest, unread)))
    return validate.errors.map((error) => `${error.instancePath} ${error.message}`);
  return [...unread].map((path) => `${path} is no field`);
}

const documents = (text, of) => parseAllDocuments(text).map((one) => {
  hold(one.errors.length === 0, `${of}: ${one.errors[0]?.message}`);
  return one.toJS();
});

// Every manifest, by the folder that it is in.
const filesOf = (room) => readdirSync(join(folder, room))
  .filter((name) => name.endsWith('.yaml') && !['kustomization.yaml', 'evenkeel.yaml'].includes(name));
const manifests = {};
for (const room of ['sidecar', 'gateway', 'own-models', 'monitoring']) {
  manifests[room] = [];
  for (const name of filesOf(room)) {
    const of = `${room}/${name}`;
    for (const manifest of documents(readFileSync(join(folder, of), 'utf8'), of)) {
      manifests[room].push(manifest);
      for (const problem of problemsOf(manifest)) breaches.push(`${of}: ${problem}`);
    }
  }
}

// As kustomize does it: what stands in another folder, patched (RFC 6902, `remove` and `replace`).
function patched(all, patches) {
  const out = structuredClone(all);
  for (const { target, patch } of patches) {
    const [hit] = out.filter((one) => one.kind === target.kind && one.metadata.name === target.name);
    hold(hit, `there is no ${target.kind} ${target.name} to be patched`);
    for (const { op, path, value } of documents(patch, 'a patch')[0]) {
      const keys = path.split('/').slice(1);
      const last = keys.pop();
      const at = keys.reduce((from, key) => from?.[key], hit ?? {});
      hold(at?.[last] !== undefined, `a patch of ${target.kind} ${target.name} is about ${path}, which is not there`);
      if (op === 'remove') at?.splice(Number(last), 1);
      else if (at) at[last] = value;
    }
  }
  return out;
}
const kustomizationOf = (room) => documents(readFileSync(join(folder, room, 'kustomization.yaml'), 'utf8'), room)[0];
manifests['own-models'].unshift(...patched(manifests.gateway, kustomizationOf('own-models').patches));
for (const manifest of manifests['own-models'])
  for (const problem of problemsOf(manifest)) breaches.push(`own-models, as patched: ${problem}`);
hold(JSON.stringify(manifests['own-models']).includes('"port":8000') &&
     !JSON.stringify(manifests['own-models']).includes('evenkeel-keys'), 'own-models: its patches do something else');

// In one order, without the image, which kustomize names.
function inOrder(value) {
  if (Array.isArray(value)) return `[${value.map(inOrder)}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  return `{${Object.keys(value).filter((key) => key !== 'image').sort().map((key) => `${key}:${inOrder(value[key])}`)}}`;
}
// What kustomize itself makes of it, where there is one.
let really = 'without kubectl';
try {
  const built = documents(execFileSync('kubectl', ['kustomize', join(folder, 'own-models')], { encoding: 'utf8' }), 'kustomize');
  really = 'as kubectl builds them';
  for (const own of manifests['own-models']) {
    const same = built.find((one) => one.kind === own.kind && one.metadata.name === own.metadata.name);
    hold(inOrder(same?.spec) === inOrder(own.spec),
         `own-models: kustomize makes another ${own.kind} ${own.metadata.name}`);
  }
} catch (error) {
  hold(error.code === 'ENOENT', `kubectl kustomize: ${error.message}`);
}

const made = execFileSync(join(folder, 'monitoring/prometheus-rule'), { encoding: 'utf8' });
const [rule] = documents(made, 'prometheus-rule');
for (const problem of problemsOf(rule)) breaches.push(`prometheus-rule: ${problem}`);
const [rules] = documents(readFileSync(join(folder, '../prometheus/evenkeel.rules.yaml'), 'utf8'), 'rules');
hold(JSON.stringify(rule.spec) === JSON.stringify(rules), 'prometheus-rule has other rules than evenkeel.rules.yaml');

const seconds = (text) => Number(/^(\d+)s$/.exec(text ?? '0s')[1]);
const mebibytes = (text) => {
  const [, number, unit] = /^(\d+)(Mi|Gi|MiB|GiB)$/.exec(text);
  return Number(number) * (unit.startsWith('G') ? 1024 : 1);
};
const freePort = () => new Promise((resolve) => {
  const probe = net.createServer().listen(0, '127.0.0.1', () => {
    const { port } = probe.address();
    probe.close(() => resolve(port));
  });
});

// Starts the program with what the pod's volume holds, and asks where the probes do.
async function serves(room, pod, container, config) {
  const place = mkdtempSync(join(tmpdir(), 'evenkeel-pod-'));
  // As the kubelet writes a volume: names are links into ..data, which is a link to a folder that is never changed.
  let updates = 0;
  const update = (text) => {
    const now = `..2026_11_30_${++updates}`;
    const items = pod.volumes.find((one) => one.name === 'evenkeel').projected.sources
      .flatMap((source) => source.secret?.items ?? []);
    for (const [path, content] of [['evenkeel.yaml', text],
                                   ...items.map((item) => [item.path, `a-key-of-${item.key}-0123456789\n`])]) {
      mkdirSync(dirname(join(place, now, path)), { recursive: true });
      writeFileSync(join(place, now, path), content);
    }
    symlinkSync(now, join(place, '..data_tmp'));
    renameSync(join(place, '..data_tmp'), join(place, '..data'));
    for (const name of readdirSync(join(place, now)))
      if (!lstatSync(join(place, name), { throwIfNoEntry: false })) symlinkSync(join('..data', name), join(place, name));
    if (updates > 1) rmSync(join(place, `..2026_11_30_${updates - 1}`), { recursive: true });
  };
  try {
    const file = join(place, 'evenkeel.yaml');
    update(config.text);
    const checked = execFileSync(program, ['check', '--format', 'json', '-c', file], { encoding: 'utf8' });
    hold(!checked.includes('"error"') && (room === 'sidecar' || !checked.includes('"warning"')), `${room}: ${checked}`);

    const ports = { main: await freePort(), admin: await freePort(), metrics: await freePort() };
    const text = (config.text.replace(/^listen: .*$/m, `listen: 127.0.0.1:${ports.main}`)
      .replace(/^ {2}listen: \S+/m, `  listen: 127.0.0.1:${ports.admin}`)
      .replace(/^ {2}metrics_listen: \S+/m, `  metrics_listen: 127.0.0.1:${ports.metrics}`));
    update(text);
    const [, ...words] = container.command;
    const server = spawn(program, words.map((word) => word.replace('/etc/evenkeel', place)), { stdio: 'ignore' });
    const ended = new Promise((resolve) => server.on('exit', (code, signal) => resolve(code ?? signal)));
    try {
      for (const name of ['startupProbe', 'readinessProbe', 'livenessProbe']) {
        const { path, port } = container[name].httpGet;
        const number = container.ports.find((one) => one.name === port)?.containerPort;
        hold(number === config.metrics, `${room}: ${name} asks at ${port}, which is not metrics_listen`);
        let status = 0;
        for (const until = Date.now() + 30_000; status !== 200 && Date.now() < until;) {
          status = await fetch(`http://127.0.0.1:${ports.metrics}${path}`).then((answer) => answer.status, () => 0);
          if (status !== 200) await new Promise((resolve) => setTimeout(resolve, 50));
        }
        hold(status === 200, `${room}: ${name} fails`);
      }
      const inForce = async () => (await (await fetch(`http://127.0.0.1:${ports.metrics}/metrics`)).text())
        .match(/config_info\{hash="(\w+)"/)?.[1];
      const before = await inForce();
      update(`${text}log: {level: warning}\n`);
      let after = before;
      for (const until = Date.now() + 20_000; after === before && Date.now() < until;) {
        await new Promise((resolve) => setTimeout(resolve, 100));
        after = await inForce();
      }
      hold(before && after !== before, `${room}: an update of its config map is not taken`);
    } finally {
      server.kill('SIGTERM');
    }
    hold((await ended) === 0, `${room}: it does not end well`);
  } finally {
    rmSync(place, { recursive: true });
  }
}

for (const room of ['sidecar', 'gateway', 'own-models']) {
  const kustomization = kustomizationOf(room);
  const others = kustomization.resources.filter((one) => one.startsWith('../')).map((one) => one.slice(3));
  hold(kustomization.resources.filter((one) => !one.startsWith('../')).sort().join() === filesOf(room).sort().join(),
       `${room}: kustomization.yaml does not name its files`);
  const text = readFileSync(join(folder, room, 'evenkeel.yaml'), 'utf8');
  const [settings] = documents(text, `${room}/evenkeel.yaml`);
  const config = { text, metrics: Number(settings.admin.metrics_listen.split(':')[1]) };

  const deployment = manifests[room].find((one) => one.kind === 'Deployment');
  const pod = deployment.spec.template.spec;
  const container = [...(pod.initContainers ?? []), ...pod.containers].find((one) => one.name === 'evenkeel');
  const labels = deployment.spec.template.metadata.labels;
  const picks = (selector) => Object.entries(selector).every(([key, value]) => labels[key] === value);
  hold(picks(deployment.spec.selector.matchLabels), `${room}: the Deployment does not pick its own pods`);
  const [monitor, ...further] = manifests.monitoring.filter((one) => picks(one.spec.selector.matchLabels));
  hold(monitor && further.length === 0, `${room}: not one PodMonitor is about it`);
  for (const { port } of monitor?.spec.podMetricsEndpoints ?? [])
    hold(container.ports.some((own) => own.name === port), `${room}: its PodMonitor asks at no port`);
  for (const one of manifests[room]) {
    const { selector = one.spec.podSelector } = one.spec;
    if (one.spec.clusterIP === 'None') { // of those that are asked
      const asked = Object.values(settings.upstreams).find((to) => new URL(to.url).hostname === one.metadata.name);
      const [{ port }] = one.spec.ports;
      hold(asked?.resolve === 'each' && Number(new URL(asked.url).port) === port, `${room}: nobody asks ${one.metadata.name}`);
      const ways = manifests[room].find((other) => other.kind === 'NetworkPolicy').spec.egress;
      hold(ways.some((way) => way.ports.some((open) => open.port === port) &&
           way.to.some((to) => to.podSelector?.matchLabels.app === one.spec.selector.app)), `${room}: there is no way there`);
      continue;
    }
    const selected = one.kind === 'Service' ? selector : selector?.matchLabels;
    hold(!selected || picks(selected), `${room}: the ${one.kind} does not pick its pods`);
    if (one.kind === 'HorizontalPodAutoscaler') {
      hold(one.spec.scaleTargetRef.name === deployment.metadata.name, `${room}: it scales something else`);
      const metrics = execFileSync(program, ['metrics'], { encoding: 'utf8' });
      for (const { pods: { metric: { name } } } of one.spec.metrics)
        hold(metrics.includes(`| \`${name.replace('evenkeel_', '')}\``), `${room}: there is no metric ${name}`);
    }
    if (one.kind === 'Service')
      hold(one.spec.ports.every((port) => container.ports.some((own) => own.name === port.targetPort &&
           own.containerPort === Number(settings.listen.split(':')[1]))), `${room}: the Service leads to no listener`);
    if (one.kind === 'NetworkPolicy')
      for (const { port } of one.spec.ingress.flatMap((way) => way.ports))
        hold(container.ports.some((own) => own.containerPort === port), `${room}: nobody listens on port ${port}`);
  }
  const { sources } = pod.volumes.find((one) => one.name === 'evenkeel').projected;
  const { configMap } = sources.find((one) => one.configMap);
  const generated = kustomization.configMapGenerator.find((one) => one.name === configMap.name);
  hold(generated?.files.join() === 'evenkeel.yaml', `${room}: its config map is not made`);
  const images = [room, ...others].flatMap((one) => kustomizationOf(one).images ?? []);
  hold(images.some((one) => one.name === container.image), `${room}: its image is not set`);

  const drain = seconds(settings.drain?.delay) + seconds(settings.drain?.timeout ?? '30s');
  hold(pod.terminationGracePeriodSeconds > drain, `${room}: it is killed while it drains`);
  // tests/bench/memory holds 1.3 times limits.memory and the idle process.
  hold(mebibytes(container.resources.limits.memory) >= 1.3 * mebibytes(settings.limits.memory) + 32,
       `${room}: limits.memory leaves no room`);
  hold(room !== 'sidecar' || container.restartPolicy === 'Always', 'sidecar: it is no native sidecar');
  const secure = container.securityContext;
  hold(secure.runAsNonRoot && secure.readOnlyRootFilesystem && !secure.allowPrivilegeEscalation &&
       secure.capabilities.drop.join() === 'ALL' && secure.seccompProfile.type === 'RuntimeDefault',
       `${room}: it may do too much`);
  await serves(room, pod, container, config);
}

// Whether it would find anything.
const broken = structuredClone(manifests.gateway.find((one) => one.kind === 'Deployment'));
broken.spec.template.spec.containers[0].livenessProbe.periodSecond = 3;
broken.spec.template.spec.containers[0].ports[0].nmae = 'x';
hold(problemsOf(broken).length === 2, 'fields that are not there are not found');
broken.spec.replicas = 'two';
hold(problemsOf(broken).some((problem) => problem.includes('replicas')), 'a wrong type is not found');

console.log(`${Object.values(manifests).flat().length} manifests and the rules, ${really}`);
for (const breach of breaches) console.log(breach);
process.exit(breaches.length ? 1 : 0);
