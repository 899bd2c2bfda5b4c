// BullMQ, with its defaults.

import { Queue, Worker } from 'bullmq';
import { Handled, Meter, checked, fill, produce, readArguments, stage, timeEach, until } from './common.js';

const QUEUE = 'bench';
const { host, port, scenario, data, ...how } = readArguments();
const connection = { host, port };
const queue = new Queue(QUEUE, { connection });
await queue.waitUntilReady();

const addBulk = (n) => queue.addBulk(Array.from({ length: n }, () => ({ name: 'bench', data })));
const add = () => queue.add('bench', data);
const waiting = () => queue.getWaitingCount();
const completed = () => queue.getCompletedCount();
const work = async (concurrency, handled) => {
  const worker = new Worker(QUEUE, async () => handled.run(), { connection, concurrency });
  await worker.waitUntilReady();
  return worker;
};

if (scenario === 'add-bulk') {
  await stage('connected');
  const meter = new Meter();
  await meter.finish(how.jobs, await fill(how, addBulk));
  checked(await waiting());
} else if (scenario === 'add-concurrent') {
  await stage('connected');
  const meter = new Meter();
  const samples = await produce(how, add);
  await meter.finish(samples.length, samples);
  checked(await waiting());
} else if (scenario === 'process') {
  await stage('connected');
  await fill(how, addBulk);
  await stage('filled');
  const handled = new Handled();
  handled.want(how.jobs);
  const meter = new Meter();
  await work(how.concurrency, handled);
  await handled.last;
  await until(how.jobs, completed);
  await meter.finish(how.jobs, []);
  checked(await completed());
} else if (scenario === 'latency') {
  const handled = new Handled();
  await work(1, handled);
  await stage('connected');
  const meter = new Meter();
  await meter.finish(how.jobs, await timeEach(how, handled, add));
  await until(how.jobs, completed);
  checked(await completed());
} else {
  throw new Error(`${scenario} is no scenario: it must be add-bulk, add-concurrent, process or latency`);
}
// Nothing has to survive, and closing would wait for a blocked connection.
process.exit(0);
