"""Opens many idle streams of events on one bulrush-api and tells what they cost, and how long an event takes to reach one of them."""
import asyncio
import json
import statistics
import sys
import tempfile
import time
import urllib.request

import driver

STREAMS = 2_000
EVENTS = 200


def rss_mb(pid):
    with open(f'/proc/{pid}/status') as status:
        return next(int(line.split()[1]) for line in status if line.startswith('VmRSS')) / 1024


async def stream(port, token):
    reader, writer = await asyncio.open_connection('127.0.0.1', port)
    writer.write(f'GET /api/v1/sse HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n'.encode())
    await writer.drain()
    head = await reader.readuntil(b'\r\n\r\n')
    assert b' 200 ' in head.split(b'\r\n', 1)[0], head
    await reader.readuntil(b'retry: 2000\n\n')
    return reader, writer


async def run(server):
    idle, own = driver.token('idle'), driver.token('bench')
    before = rss_mb(server.process.pid)
    streams = []
    for first in range(0, STREAMS, 100):
        streams += await asyncio.gather(*(stream(server.port, idle) for _ in range(first, first + 100)))
    listener, _writer = await stream(server.port, own)
    after = rss_mb(server.process.pid)
    loop = asyncio.get_running_loop()
    latencies = []
    for _ in range(EVENTS):
        started = time.perf_counter()
        adding = loop.run_in_executor(None, server.add)
        await listener.readuntil(b'event: job:added')
        latencies.append((time.perf_counter() - started) * 1e3)
        await adding
    latencies.sort()
    return {'streams': STREAMS, 'rss_before_mb': round(before, 1), 'rss_after_mb': round(after, 1),
            'kib_a_stream': round((after - before) * 1024 / STREAMS, 1), 'event_p50_ms': round(statistics.median(latencies), 2),
            'event_p99_ms': round(latencies[int(len(latencies) * 0.99)], 2)}


def main():
    with tempfile.TemporaryDirectory(prefix='bench-streams-') as folder:
        server = driver.Server('bulrush', folder)
        try:
            print(json.dumps(asyncio.run(run(server))))
        finally:
            server.stop()


if __name__ == '__main__':
    sys.exit(main())
