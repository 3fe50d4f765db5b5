// The manifests of deploy/kubernetes: `kubernetes.mjs PROGRAM FOLDER`. Each is what the published schemas say, without
// a field that they do not know; what refers to each other fits; the program takes the files that the pods get, serves
// with them where the probes ask, and has the time and memory that they give it. Exit 1 with a line for each breach.

import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
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
for (const room of ['sidecar', 'gateway', 'monitoring']) {
  manifests[room] = [];
  for (const name of filesOf(room)) {
    const of = `${room}/${name}`;
    for (const manifest of documents(readFileSync(join(folder, of), 'utf8'), of)) {
      manifests[room].push(manifest);
      for (const problem of problemsOf(manifest)) breaches.push(`${of}: ${problem}`);
    }
  }
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
  try {
    for (const source of pod.volumes.find((one) => one.name === 'evenkeel').projected.sources)
      for (const item of source.secret?.items ?? []) {
        mkdirSync(dirname(join(place, item.path)), { recursive: true });
        writeFileSync(join(place, item.path), 'a-key\n');
      }
    const file = join(place, 'evenkeel.yaml');
    writeFileSync(file, config.text);
    const checked = execFileSync(program, ['check', '--format', 'json', '-c', file], { encoding: 'utf8' });
    hold(!checked.includes('"error"'), `${room}: ${checked}`);

    const ports = { main: await freePort(), admin: await freePort(), metrics: await freePort() };
    writeFileSync(file, config.text.replace(/^listen: .*$/m, `listen: 127.0.0.1:${ports.main}`)
      .replace(/^ {2}listen: \S+/m, `  listen: 127.0.0.1:${ports.admin}`)
      .replace(/^ {2}metrics_listen: \S+/m, `  metrics_listen: 127.0.0.1:${ports.metrics}`));
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
    } finally {
      server.kill('SIGTERM');
    }
    hold((await ended) === 0, `${room}: it does not end well`);
  } finally {
    rmSync(place, { recursive: true });
  }
}

for (const room of ['sidecar', 'gateway']) {
  const kustomization = documents(readFileSync(join(folder, room, 'kustomization.yaml'), 'utf8'), room)[0];
  hold([...kustomization.resources].sort().join() === filesOf(room).sort().join(),
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
  const [monitor, ...others] = manifests.monitoring.filter((one) => picks(one.spec.selector.matchLabels));
  hold(monitor && others.length === 0, `${room}: not one PodMonitor is about it`);
  for (const { port } of monitor?.spec.podMetricsEndpoints ?? [])
    hold(container.ports.some((own) => own.name === port), `${room}: its PodMonitor asks at no port`);
  for (const one of manifests[room]) {
    const { selector = one.spec.podSelector } = one.spec;
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
  hold(kustomization.images.some((one) => one.name === container.image), `${room}: its image is not set`);

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

console.log(`${Object.values(manifests).flat().length} manifests and the rules`);
for (const breach of breaches) console.log(breach);
process.exit(breaches.length ? 1 : 0);
