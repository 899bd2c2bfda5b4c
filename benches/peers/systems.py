"""The systems that are measured, the scenarios, and the sizes of both."""
import collections
import os

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SCENARIOS = ("add-bulk", "add-concurrent", "process", "latency", "bytes")
BATCH, PRODUCERS, AT_ONCE, PAYLOAD = 50, 64, 100, 100
# Counts are rounded up to what batches and producers share.
STEP = BATCH * PRODUCERS
FIGURES = ("jobs", "seconds", "jobs_per_s", "p50_ms", "p99_ms", "client_cpu_us_per_job")

# Pause before a timed add, ms: by then a worker that does not poll is idle again.
IDLE_MS = 3
# What a system does about per second, by which the number of its jobs is chosen: bulk add, concurrent add, process. Only the length of
# a measurement hangs on it.
System = collections.namedtuple("System", "title program rates keeps finished latency_pause_ms backlog_max", defaults=(True, IDLE_MS, None))
SYSTEMS = {
    "bulrush": System("bulrush", None, (200_000, 80_000, 90_000),
                      "state, results, errors, tokens, events, roll-ups; the newest 1,000 completed (for the bytes: all)"),
    "bullmq": System("BullMQ 6.7 (Node)", "node/bullmq.js", (15_000, 15_000, 12_000),
                     "state, results, times, locks, 10,000 events; all completed"),
    "bullmq-official": System("bullmq-official 1.4 (Rust)", "peer-bullmq-official", (20_000, 15_000, 12_000),
                              "state, results, times, locks, 10,000 events; all completed"),
    "bee-queue": System("Bee-Queue 2 (Node)", "node/bee-queue.js", (36_000, 20_000, 18_000),
                        "state, results; events are sent, not kept; all completed"),
    "oxana": System("oxana 2.5 (Rust)", "peer-oxana", (50_000, 15_000, 4_000),
                    "counters; no completed job, no result, no events", finished=False, latency_pause_ms=10_000),
    # It moves all due jobs in one call, which fails above 7,999 (the limit of Lua's unpack).
    "apalis": System("apalis-redis 1.0 (Rust)", "peer-apalis", (60_000, 20_000, 5_000),
                     "state, results, locks; events are sent, not kept; all completed", latency_pause_ms=30_000, backlog_max=7_500),
    "chasquimq": System("ChasquiMQ 1.3 (Rust)", "peer-chasquimq", (140_000, 40_000, 40_000),
                        "no state, no results; 100,000 events", finished=False),
}


def jobs_of(system, scenario, seconds, samples):
    """How many jobs make a measurement of about the wanted length; none where it is left out."""
    facts = SYSTEMS[system]
    if scenario == "latency":
        if facts.latency_pause_ms == IDLE_MS:
            return samples
        return 2 if seconds >= 2 else 0
    if scenario == "bytes":
        return 200_000
    wanted = facts.rates[SCENARIOS.index(scenario)] * seconds
    jobs = -(-int(wanted) // STEP) * STEP
    return min(jobs, facts.backlog_max or jobs) if scenario == "process" else jobs
