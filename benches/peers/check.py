"""The driver's contract and table, checked on lines that are known; needs no server and no build."""
import json
import os

from measure import BULRUSH_FIGURES, Failed, figures
from report import Summary, tables, targets
from systems import FIGURES, HERE, SCENARIOS, STEP, SYSTEMS, jobs_of


def check():
    held = 0

    def that(what, ok):
        nonlocal held
        if not ok:
            raise SystemExit(f"bench-peers --check: {what}: no")
        held += 1

    def refused(line, wanted=FIGURES):
        try:
            figures(line, wanted)
        except Failed:
            return True
        return False

    good = {"jobs": 3200, "seconds": 0.5, "jobs_per_s": 6400.0, "p50_ms": None, "p99_ms": None, "client_cpu_us_per_job": 12.5}
    that("a line of figures is read", figures(json.dumps(good))["jobs"] == 3200)
    that("bulrush's line is read", figures(json.dumps(dict(good, scenario="process", server_cpu_us_per_job=6.0,
                                                           bytes_per_waiting_job=None, bytes_per_finished_job=300)), BULRUSH_FIGURES))
    that("a stage is no line of figures", refused('{"stage":"filled"}'))
    that("text is no line of figures", refused("panicked at"))
    that("a list is no line of figures", refused("[1]"))
    that("a figure in quotes is refused", refused(json.dumps(dict(good, seconds="1"))))
    that("no jobs are refused", refused(json.dumps(dict(good, jobs=0))))
    that("a missing figure is refused", refused(json.dumps({k: v for k, v in good.items() if k != "seconds"})))
    for system in SYSTEMS:
        for scenario in SCENARIOS[:3]:
            jobs = jobs_of(system, scenario, 1, 200)
            that(f"{system} has jobs for {scenario}", jobs > 0 and (jobs % STEP == 0 or jobs == SYSTEMS[system].backlog_max))
    rows = []
    for at, scale in enumerate((1, 2, 4)):
        for system, rate in (("bulrush", 120_000), ("bullmq", 10_000)):
            for scenario in SCENARIOS[:3]:
                rows.append(dict(good, system=system, scenario=scenario, round=at, jobs_per_s=rate * scale, server_cpu_us_per_job=4.2))
            rows.append({"system": system, "scenario": "bytes", "round": at, "jobs": 10,
                         "bytes_per_waiting_job": 281, "bytes_per_finished_job": 330})
        rows.append({"system": "floor", "scenario": "add-bulk", "round": at, "jobs": 1, "jobs_per_s": 1.0, "server_cpu_us_per_job": 3.0})
    rows = [dict(row, run="1") for row in rows]
    summary = Summary(rows + [{"system": "bullmq", "scenario": "latency", "round": 0, "run": "1", "failed": "stuck"}])
    that("the ratio is taken within a round", summary.times("bullmq", "process") == 12)
    that("the floor's ratio", round(summary.ratio("bulrush", "floor", "add-bulk", "server_cpu_us_per_job"), 3) == 1.4)
    said = targets(summary)
    that("a target is met", "| ≥ 12   | 12.0     | met" in said)
    that("a target is missed", "| ≤ 280  | 281      | MISSED" in said)
    that("what was not measured has no row", "p99" not in said)
    that("the table names each system once a scenario", tables(summary).count("BullMQ 6.7") == 4)
    that("a failure gives no figure", len(summary.failures) == 1 and not summary.rows["bullmq", "latency"])
    that("every program is there", all(os.path.exists(os.path.join(HERE, facts.program)) for facts in SYSTEMS.values()
                                       if facts.program and facts.program.endswith(".js")))
    lock = json.load(open(os.path.join(HERE, "node", "package-lock.json"), encoding="utf-8"))
    that("the lock file names no host", all("resolved" not in package for package in lock["packages"].values()))
    print(f"{held} checks hold")
    return 0
