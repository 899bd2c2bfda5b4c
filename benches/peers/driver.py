"""Measures bulrush and its peers with the same work on servers of the same kind, interleaved, and prints one table.

scripts/bench-peers builds what is needed and starts this. How a peer's program and this one talk stands in rust/common/src/lib.rs.
"""
import argparse
import json
import os
import sys
import time

from check import check
from measure import Failed, Server, command_of, measure_bulrush, measure_floor, measure_peer, port_proof
from report import Summary, tables, targets
from systems import ROOT, SCENARIOS, SYSTEMS, jobs_of

# Tells the rounds of this run from those of others in one file.
RUN = f"{int(time.time())}-{os.getpid()}"

def run(a, say):
    proof = port_proof()
    seconds, samples = (1, 200) if a.quick else (3, 500)
    rows = []
    # Rounds that were kept before count, so that a run made in parts begins each part with another system, too.
    kept = len({(row["run"], row["round"]) for row in read_rows(a.save)}) if a.save and os.path.exists(a.save) else 0
    for at in range(kept, kept + a.rounds):
        for scenario in a.scenarios:
            # Each begins a round once, so that no system always comes after the same one.
            turn = at % len(a.systems)
            for system in a.systems[turn:] + a.systems[:turn]:
                if scenario == "bytes" and system != "bulrush":
                    continue  # comes with `process`
                jobs = jobs_of(system, scenario, seconds, samples)
                if not jobs:
                    continue
                try:
                    with Server(proof, a.redis8 if system == "chasquimq" else None) as server:
                        if system == "bulrush":
                            measured = measure_bulrush(scenario, jobs, server)
                        else:
                            measured = measure_peer(command_of(system, scenario, jobs, server.url), scenario, server)
                except Failed as failure:
                    measured = [{"scenario": scenario, "failed": str(failure)}]
                rows += note(measured, a, at, system, say)
            if "bulrush" in a.systems and scenario in ("add-bulk", "process"):
                rows += note(measure_floor(proof, scenario, 100_000 * seconds), a, at, "floor", say)
    return rows


def note(measured, a, at, system, say):
    """Names the rows, keeps them, and tells of them."""
    named = [dict(row, system=system, round=at, run=RUN) for row in measured]
    for row in named:
        if a.save:
            with open(a.save, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        what = f"FAILED: {row['failed']}" if "failed" in row else f"{row['jobs_per_s']:,.0f} jobs/s" if "jobs_per_s" in row else ""
        say(f"round {at + 1}  {row['scenario']:<14}  {system:<16} {what}")
    return named


def read_rows(path):
    """What --save kept."""
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def left_out(a, rows):
    seen = {(row["system"], row["scenario"]) for row in rows}
    lines = []
    if "bulrush" in a.systems and "chasquimq" not in a.systems and not a.tables:
        lines.append("ChasquiMQ is left out: it needs Redis 8.6; give the address of an empty one with --redis8 URL.")
    for system in ("oxana", "apalis"):
        if any(name == system for name, _ in seen) and (system, "latency") not in seen:
            lines.append(f"{SYSTEMS[system].title} polls every {SYSTEMS[system].latency_pause_ms // 1000} s when idle:"
                         " its latency takes too long for --quick.")
    return lines


def write_docs(tables_text, path=os.path.join(ROOT, "docs", "benchmarks.md")):
    """Replaces the tables of the page; what is said around them is for a person to check."""
    begin, end = "<!-- tables -->\n", "<!-- end of tables -->\n"
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if text.count(begin) != 1 or text.count(end) != 1:
        raise SystemExit(f"bench-peers: {path} must hold the lines {begin.strip()} and {end.strip()} once each")
    head, rest = text.split(begin)
    with open(path, "w", encoding="utf-8") as file:
        file.write(head + begin + tables_text + end + rest.split(end)[1])
    print(f"the tables of {os.path.relpath(path)} are replaced; check what is said around them", file=sys.stderr)


def show(a, rows):
    summary = Summary(rows)
    if a.docs:
        write_docs(f"{tables(summary)}\n\n{targets(summary)}\n")
    if a.json:
        for row in summary.json_rows():
            print(json.dumps(row))
    else:
        print("\n" + tables(summary) + "\n")
        print(targets(summary))
        for line in left_out(a, rows):
            print(line)
    for failure in summary.failures:
        where = f"{failure['system']}, {failure['scenario']}, round {failure['round'] + 1}"
        print(f"bench-peers: {where}: {failure['failed']}", file=sys.stderr)
    return 1 if summary.failures else 0


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench-peers", description=__doc__.splitlines()[0])
    names = [name for name in SYSTEMS if name != "chasquimq"]
    parser.add_argument("--quick", action="store_true", help="shorter measurements: about three minutes instead of ten")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (default: 3)")
    parser.add_argument("--systems", default=",".join(names), help="systems, separated by commas (default: %(default)s)")
    parser.add_argument("--scenarios", default=",".join(SCENARIOS), help="scenarios, separated by commas (default: %(default)s)")
    parser.add_argument("--redis8", metavar="URL", help="an empty Redis 8.6 or newer, for ChasquiMQ; it is flushed")
    parser.add_argument("--save", metavar="FILE", help="append what each measurement gave to FILE")
    parser.add_argument("--tables", metavar="FILE", help="measure nothing, print the table of what --save kept (of several runs, too)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of the table")
    parser.add_argument("--docs", action="store_true", help="put the tables into docs/benchmarks.md, too")
    parser.add_argument("--no-build", action="store_true", help="use what was built before")
    parser.add_argument("--check", action="store_true", help="check this program itself, on known lines")
    a = parser.parse_args()
    a.systems, a.scenarios = a.systems.split(","), a.scenarios.split(",")
    for given, known in ((a.systems, SYSTEMS), (a.scenarios, SCENARIOS)):
        for name in given:
            if name not in known:
                parser.error(f"{name} is not known: it must be one of {', '.join(known)}")
    if a.rounds < 1:
        parser.error(f"--rounds is {a.rounds}, it must be at least 1")
    if "chasquimq" in a.systems and not a.redis8:
        parser.error("chasquimq needs --redis8 URL")
    if a.redis8 and "chasquimq" not in a.systems:
        a.systems.append("chasquimq")
    return a


def main():
    a = arguments()
    if a.check:
        return check()
    if a.tables:
        return show(a, read_rows(a.tables))
    return show(a, run(a, lambda line: print(line, file=sys.stderr, flush=True)))


if __name__ == "__main__":
    sys.exit(main())
