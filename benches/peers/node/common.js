// What both programs share: their arguments, the stages they go through with the driver, and the line of figures they print. The same
// contract as ../rust/common/src/lib.rs, which tells of it.

import { createInterface } from 'node:readline';

const STUCK_AFTER_MS = 120_000;
const SHORTEST_PAUSE_MS = 3;

// The arguments, in this order: URL SCENARIO JOBS BATCH CONCURRENCY PAYLOAD PAUSE-MS.
export function readArguments() {
  const all = process.argv.slice(2);
  if (all.length !== 7) {
    throw new Error(`${all.length} arguments given, wanted are URL SCENARIO JOBS BATCH CONCURRENCY PAYLOAD PAUSE-MS`);
  }
  const [url, scenario, ...numbers] = all;
  const [jobs, batch, concurrency, payload, pauseMs] = numbers.map((text) => {
    const n = Number(text);
    if (!Number.isInteger(n) || n < 1) throw new Error(`${text} is no number of at least 1`);
    return n;
  });
  const { hostname, port } = new URL(url);
  const data = { n: 1, text: 'x'.repeat(Math.max(0, payload - 17)) };
  return { host: hostname, port: Number(port), scenario, jobs, batch, concurrency, pauseMs, data };
}

const words = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function wait() {
  if ((await words.next()).done) throw new Error('the driver went away');
}

// Tells the driver that a stage is reached, and waits for its word.
export async function stage(name) {
  console.log(JSON.stringify({ stage: name }));
  await wait();
}

// Tells how many jobs the peer itself counts, and that is the end.
export function checked(count) {
  console.log(JSON.stringify({ stage: 'checked', count }));
}

export class Meter {
  constructor() {
    this.cpu = process.cpuUsage();
    this.started = performance.now();
  }

  // Ends measuring and prints the figures; waits for the driver's word. `samples` are in ms.
  async finish(jobs, samples) {
    const seconds = (performance.now() - this.started) / 1e3;
    const { user, system } = process.cpuUsage(this.cpu);
    samples.sort((a, b) => a - b);
    const quantile = (q) => samples[Math.max(0, Math.ceil(samples.length * q) - 1)] ?? null;
    console.log(
      JSON.stringify({
        jobs,
        seconds,
        jobs_per_s: jobs / seconds,
        p50_ms: quantile(0.5),
        p99_ms: quantile(0.99),
        client_cpu_us_per_job: (user + system) / jobs,
      }),
    );
    await wait();
  }
}

// Adds all jobs in batches; the times of the batches, ms.
export async function fill({ jobs, batch }, addBulk) {
  const samples = [];
  for (let left = jobs; left > 0; left -= batch) {
    const started = performance.now();
    await addBulk(Math.min(batch, left));
    samples.push(performance.now() - started);
  }
  return samples;
}

// Many producers at once, each adding its share one by one; the times of all adds, ms.
export async function produce({ jobs, concurrency }, add) {
  const samples = [];
  const each = Math.ceil(jobs / concurrency);
  const producer = async () => {
    for (let n = 0; n < each; n++) {
      const started = performance.now();
      await add();
      samples.push(performance.now() - started);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, producer));
  return samples;
}

// Counts the runs of the handler, and tells of the last one with the time at which it started.
export class Handled {
  want(runs) {
    this.left = runs;
    this.last = new Promise((resolve, reject) => {
      const stuck = setTimeout(() => reject(new Error(`stuck with ${this.left} jobs left`)), STUCK_AFTER_MS);
      this.tell = () => {
        clearTimeout(stuck);
        resolve(performance.now());
      };
    });
  }

  run() {
    if (--this.left === 0) this.tell();
  }
}

// Waits until `count` says so many.
export async function until(wanted, count) {
  const started = performance.now();
  for (;;) {
    const seen = await count();
    if (seen >= wanted) return;
    if (performance.now() - started > STUCK_AFTER_MS) throw new Error(`stuck at ${seen} of ${wanted}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

// Times one job after the other on an idle worker, from before the add to the start of the handler; ms.
export async function timeEach({ jobs, pauseMs }, handled, add) {
  const samples = [];
  for (let at = 0; at < jobs; at++) {
    handled.want(1);
    // The golden ratio spreads any number of points evenly over the longest pause.
    const pause = SHORTEST_PAUSE_MS + ((at * 0.618033988749895 + 0.5) % 1) * (pauseMs - SHORTEST_PAUSE_MS);
    await new Promise((resolve) => setTimeout(resolve, pause));
    const added = performance.now();
    await add();
    samples.push((await handled.last) - added);
  }
  return samples;
}
