// Bee-Queue, with its defaults.

import Queue from 'bee-queue';
import { Handled, Meter, checked, fill, produce, readArguments, stage, timeEach, until } from './common.js';

const QUEUE = 'bench';
const { host, port, scenario, data, ...how } = readArguments();
const redis = { host, port };
const queue = new Queue(QUEUE, { redis });
await queue.ready();

const addBulk = async (n) => {
  const errors = await queue.saveAll(Array.from({ length: n }, () => queue.createJob(data)));
  if (errors.size > 0) throw errors.values().next().value;
};
const add = () => queue.createJob(data).save();
const waiting = async () => (await queue.checkHealth()).waiting;
const completed = (worker) => async () => (await worker.checkHealth()).succeeded;
const work = async (concurrency, handled) => {
  const worker = new Queue(QUEUE, { redis });
  await worker.ready();
  worker.process(concurrency, async () => handled.run());
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
  // It would listen for the end of each job that it added.
  await queue.close();
  await stage('filled');
  const handled = new Handled();
  handled.want(how.jobs);
  const meter = new Meter();
  const worker = await work(how.concurrency, handled);
  await handled.last;
  await until(how.jobs, completed(worker));
  await meter.finish(how.jobs, []);
  checked(await completed(worker)());
} else if (scenario === 'latency') {
  const handled = new Handled();
  await work(1, handled);
  await stage('connected');
  const meter = new Meter();
  await meter.finish(how.jobs, await timeEach(how, handled, add));
  await until(how.jobs, completed(queue));
  checked(await completed(queue)());
} else {
  throw new Error(`${scenario} is no scenario: it must be add-bulk, add-concurrent, process or latency`);
}
// Nothing has to survive, and closing would wait for a blocked connection.
process.exit(0);
