// An Express server in front of BullMQ as its documentation has it: a bearer token, a JSON body, add and get. One process, as Node runs.
import { createSecretKey } from 'node:crypto';

import { Queue } from 'bullmq';
import express from 'express';
import IORedis from 'ioredis';
import jwt from 'jsonwebtoken';

const [, , redis, port, secret] = process.argv;
// Made once: made anew for each request, it would take longer than the check.
const key = createSecretKey(Buffer.from(secret));
const connection = new IORedis(redis, { maxRetriesPerRequest: null });
const queues = { forecast: new Queue('forecast', { connection }) };

const app = express();
app.disable('x-powered-by');
app.use(express.json({ limit: '1mb' }));
app.use((request, response, next) => {
  try {
    const token = (request.headers.authorization ?? '').replace(/^Bearer /, '');
    request.user = jwt.verify(token, key, { algorithms: ['HS256'] });
    next();
  } catch {
    response.status(401).json({ success: false });
  }
});
app.post('/api/v1/queues/:queue/jobs', async (request, response) => {
  const queue = queues[request.params.queue];
  if (!queue) return response.status(404).json({ success: false });
  const { name, data, options } = request.body;
  if (typeof name !== 'string' || typeof data !== 'object') return response.status(422).json({ success: false });
  const job = await queue.add(name, { ...data, userId: request.user.sub }, options);
  response.status(202).json({ success: true, data: { jobId: job.id, queueName: request.params.queue, jobName: name } });
});
app.get('/api/v1/queues/:queue/jobs/:id', async (request, response) => {
  const job = await queues[request.params.queue]?.getJob(request.params.id);
  if (!job || job.data.userId !== request.user.sub) return response.status(404).json({ success: false });
  const { id, name, data, progress, attemptsMade, processedOn, finishedOn } = job;
  const status = await job.getState();
  response.json({ success: true, data: { id, name, status, data, progress, attemptsMade, processedOn, finishedOn } });
});
app.listen(Number(port), '127.0.0.1', () => console.log('ready'));
