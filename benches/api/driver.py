"""Measures bulrush-api and an Express + BullMQ server with the same requests, in turns, each in front of a Redis server of its own.

Every figure of a row is of one run of wrk; rounds are interleaved and the median round (by requests a second) is shown. CPU is that of the
process and its threads, from /proc, and of the Redis server's process, per request.
"""
import argparse
import base64
import hashlib
import hmac
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SECRET = 'a-secret-of-the-benchmark-0123456789abcdef'
CONNECTIONS = 64
TICK = os.sysconf('SC_CLK_TCK')


def token(user='bench'):
    def part(value):
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        return base64.urlsafe_b64encode(raw).rstrip(b'=').decode()

    head = part({'alg': 'HS256', 'typ': 'JWT'}) + '.' + part({'sub': user, 'role': 'user', 'exp': int(time.time()) + 86400})
    return head + '.' + part(hmac.new(SECRET.encode(), head.encode(), hashlib.sha256).digest())


def free_port():
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        return listener.getsockname()[1]


def cpu_s(pid):
    with open(f'/proc/{pid}/stat') as stat:
        fields = stat.read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


class Server:
    """A server under test with its own Redis."""

    def __init__(self, name, folder):
        self.name = name
        self.redis_port, self.port = free_port(), free_port()
        data = os.path.join(folder, name)
        os.makedirs(data)
        self.redis = subprocess.Popen(
            ['redis-server', '--port', str(self.redis_port), '--bind', '127.0.0.1', '--dir', data, '--save', '',
             '--appendonly', 'yes', '--appendfsync', 'everysec', '--maxmemory-policy', 'noeviction'],
            stdout=subprocess.DEVNULL)
        self.wait(self.redis_port)
        redis = f'redis://127.0.0.1:{self.redis_port}'
        if name == 'bulrush':
            env = dict(os.environ, BULRUSH_ENGINE=redis, DATABASE_URL=f'sqlite:{data}/bulrush.db', BULRUSH_FILES=f'{data}/files',
                       JWT_SECRET=SECRET, BULRUSH_API_PORT=str(self.port), BULRUSH_API_RATE_USER='0',
                       BULRUSH_API_RATE_TENANT='0', BULRUSH_API_STREAMS_USER='100000', RUST_LOG='warn')
            command = [os.path.join(ROOT, 'target/release/bulrush-api')]
        else:
            env = dict(os.environ, NODE_ENV='production')
            command = ['node', os.path.join(HERE, 'server.js'), redis, str(self.port), SECRET]
        self.process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
        self.wait(self.port)
        self.job = self.add()

    @staticmethod
    def wait(port):
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(('127.0.0.1', port), 1).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise SystemExit(f'nothing listens on port {port}')
                time.sleep(0.02)

    def add(self):
        body = json.dumps({'name': 'run-forecast', 'data': {'productId': 'p-1'}}).encode()
        request = urllib.request.Request(
            f'http://127.0.0.1:{self.port}/api/v1/queues/forecast/jobs', body,
            {'Authorization': f'Bearer {token()}', 'Content-Type': 'application/json'})
        deadline = time.monotonic() + 20
        while True:
            try:
                with urllib.request.urlopen(request) as answer:
                    return json.load(answer)['data']['jobId']
            except urllib.error.URLError:
                # It listens before it is ready.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def load(self, scenario, seconds, pause_ms=0):
        env = dict(os.environ, SCENARIO=scenario, TOKEN=token(), JOB=str(self.job), PAUSE_MS=str(pause_ms))
        before = cpu_s(self.process.pid), cpu_s(self.redis.pid)
        out = subprocess.run(
            ['wrk', '-t1', f'-c{CONNECTIONS}', f'-d{seconds}s', '-s', os.path.join(HERE, 'load.lua'), f'http://127.0.0.1:{self.port}'],
            env=env, capture_output=True, text=True, check=True).stdout
        line = next(line for line in out.splitlines() if line.startswith('RESULT '))
        row = json.loads(line.removeprefix('RESULT '))
        after = cpu_s(self.process.pid), cpu_s(self.redis.pid)
        n = max(row['requests'], 1)
        if row['failed'] or row['broken']:
            print(f'{self.name} {scenario}: {row["failed"]} refused, {row["broken"]} broken', file=sys.stderr)
        return {'server': self.name, 'scenario': scenario, 'paced': pause_ms > 0, 'rps': row['requests'] / row['seconds'],
                'p50': row['p50_ms'], 'p99': row['p99_ms'], 'failed': row['failed'] + row['broken'],
                'cpu_us': (after[0] - before[0]) / n * 1e6, 'redis_us': (after[1] - before[1]) / n * 1e6}

    def stop(self):
        for process in (self.process, self.redis):
            process.send_signal(signal.SIGTERM)
        for process in (self.process, self.redis):
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--seconds', type=int, default=8, help='of each measurement')
    parser.add_argument('--json', action='store_true')
    arguments = parser.parse_args()
    rows = []
    for number in range(arguments.rounds):
        for scenario in ('add', 'status', 'mixed'):
            names = ['bulrush', 'express']
            if number % 2:
                names.reverse()
            for name in names:
                folder = tempfile.mkdtemp(prefix='bench-api-')
                server = Server(name, folder)
                try:
                    server.load(scenario, 1)
                    peak = server.load(scenario, arguments.seconds)
                    rows.append(peak)
                    # Half of the peak: each connection pauses so that all together send as many.
                    pause = 2 * CONNECTIONS / peak['rps'] * 1e3 - peak['p50'] / 2
                    rows.append(server.load(scenario, arguments.seconds, max(pause, 1)))
                finally:
                    server.stop()
                    shutil.rmtree(folder, ignore_errors=True)
                print(f'round {number + 1}  {scenario:7} {name:8} {peak["rps"]:9,.0f} requests/s', file=sys.stderr)
    if arguments.json:
        for row in rows:
            print(json.dumps(row))
        return
    medians = {}
    for row in rows:
        medians.setdefault((row['scenario'], row['paced'], row['server']), []).append(row)
    medians = {key: sorted(same, key=lambda row: row['rps'])[len(same) // 2] for key, same in medians.items()}
    print('| load, 64 connections | server | requests/s | bulrush × | p50 / p99 ms | server µs | Redis µs | refused |')
    print('|---|---|---|---|---|---|---|---|')
    for scenario in ('add', 'status', 'mixed'):
        for paced in (False, True):
            base = medians[scenario, paced, 'bulrush']
            for name, shown in (('bulrush', 'bulrush-api'), ('express', 'Express 5 + BullMQ 6.7')):
                row = medians[scenario, paced, name]
                times = base['rps'] / row['rps']
                ratio = '–' if paced else '1' if name == 'bulrush' else f'{times:.1f}'
                what = f'{scenario}, {"half of its peak" if paced else "peak"}'
                print(f'| {what} | {shown} | {row["rps"]:,.0f} | {ratio} | {row["p50"]:.2f} / {row["p99"]:.2f} '
                      f'| {row["cpu_us"]:.0f} | {row["redis_us"]:.0f} | {row["failed"]} |')


if __name__ == '__main__':
    main()
