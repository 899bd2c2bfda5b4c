"""The table: medians over the rounds, ratios within each, and the targets."""
import collections
import statistics

from systems import AT_ONCE, BATCH, FIGURES, IDLE_MS, PRODUCERS, SCENARIOS, SYSTEMS


class Summary:
    """Medians over the rounds."""

    def __init__(self, rows):
        self.rows = collections.defaultdict(list)
        self.failures = []
        for row in rows:
            if "failed" in row:
                self.failures.append(row)
            else:
                self.rows[row["system"], row["scenario"]].append(row)

    def values(self, system, scenario, name):
        return [row[name] for row in self.rows[system, scenario] if row.get(name) is not None]

    def median(self, system, scenario, name):
        values = self.values(system, scenario, name)
        return statistics.median(values) if values else None

    def ratio(self, over, under, scenario, name):
        """Median of the ratios of what was measured in the same round."""
        below = collections.defaultdict(list)
        for row in self.rows[under, scenario]:
            below[row["run"], row["round"]].append(row.get(name))
        ratios = [row[name] / other for row in self.rows[over, scenario] if row.get(name)
                  for other in below[row["run"], row["round"]] if other]
        return statistics.median(ratios) if ratios else None

    def json_rows(self):
        names = FIGURES + ("server_cpu_us_per_job", "bytes_per_waiting_job", "bytes_per_finished_job")
        for system, scenario in [(s, c) for c in SCENARIOS for s in list(SYSTEMS) + ["floor"] if self.rows[s, c]]:
            rates = self.values(system, scenario, "jobs_per_s")
            row = {"system": system, "scenario": scenario, "runs": len(self.rows[system, scenario])}
            row |= {name: self.median(system, scenario, name) for name in names}
            row |= {"jobs_per_s_min": min(rates, default=None), "jobs_per_s_max": max(rates, default=None)}
            if system not in ("bulrush", "floor"):
                row["bulrush_times"] = self.times(system, scenario)
            yield row

    def times(self, system, scenario):
        """How many times better bulrush is."""
        if scenario == "latency":
            return self.ratio(system, "bulrush", scenario, "p50_ms")
        if scenario == "bytes":
            name = "bytes_per_finished_job" if SYSTEMS[system].finished else "bytes_per_waiting_job"
            return self.ratio(system, "bulrush", scenario, name)
        return self.ratio("bulrush", system, scenario, "jobs_per_s")


def number(value, digits=0, empty="–"):
    return empty if value is None else f"{value:,.{digits}f}"


def markdown(header, rows):
    table = [header] + rows
    widths = [max(len(row[at]) for row in table) for at in range(len(header))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in table]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|"] + lines[1:])


HEADINGS = {
    "add-bulk": f"bulk add, {BATCH} a call, one caller",
    "add-concurrent": f"single adds, {PRODUCERS} producers",
    "process": f"process a backlog, {AT_ONCE} at once",
    "latency": "add to start, idle worker",
    "bytes": "bytes on the server",
}


def tables(summary):
    header = ["", "system", "jobs/s (lowest–highest)", "bulrush ×", "Redis µs/job", "client µs/job", "p50 / p99 ms",
              "bytes waiting / finished", "keeps"]
    rows = []
    for scenario in SCENARIOS:
        heading = HEADINGS[scenario]
        for system, facts in SYSTEMS.items():
            if not summary.rows[system, scenario]:
                continue

            def get(name, digits=0):
                return number(summary.median(system, scenario, name), digits)

            rates = summary.values(system, scenario, "jobs_per_s") if scenario != "latency" else []
            rate = number(statistics.median(rates)) if rates else "–"
            if len(rates) > 1:
                rate += f" ({min(rates):,.0f}–{max(rates):,.0f})"
            times = "1" if system == "bulrush" else number(summary.times(system, scenario), 1)
            waits = f"{get('p50_ms', 2)} / {get('p99_ms', 2)}" if summary.values(system, scenario, "p50_ms") else "–"
            if scenario == "latency" and facts.latency_pause_ms != IDLE_MS:
                # A few samples, spread over the period: they show no more than that it polls.
                times, waits = "–", f"polls: {summary.median(system, scenario, 'p50_ms') / 1e3:,.0f} s"
            finished = get("bytes_per_finished_job") if facts.finished else "–"
            size = f"{get('bytes_per_waiting_job')} / {finished}" if scenario == "bytes" else "–"
            # What an idle worker costs a job says more of the pauses than of the job.
            cost = (get("server_cpu_us_per_job", 1), get("client_cpu_us_per_job", 1)) if scenario != "latency" else ("–", "–")
            rows.append([heading, facts.title, rate, times, *cost, waits, size, facts.keeps if scenario in ("process", "bytes") else ""])
            heading = ""
        for_floor = summary.median("floor", scenario, "server_cpu_us_per_job")
        if for_floor is not None:
            rate = number(summary.median("floor", scenario, "jobs_per_s"))
            rows.append(["", "floor scripts, no queue", rate, "–", number(for_floor, 1), "–", "–", "–", ""])
    return markdown(header, rows)


def targets(summary):
    """What the design wants, what was measured, and whether it is met."""
    median = summary.median
    wanted = [
        ("bulk add, bulrush × Node BullMQ", summary.times("bullmq", "add-bulk"), "≥", 12, 1),
        ("process, bulrush × Node BullMQ", summary.times("bullmq", "process"), "≥", 12, 1),
        ("single adds of 64 producers, bulrush × Node BullMQ", summary.times("bullmq", "add-concurrent"), "≥", 6, 1),
        ("add to start, p50 ms", median("bulrush", "latency", "p50_ms"), "≤", 0.5, 2),
        ("add to start, p99 ms", median("bulrush", "latency", "p99_ms"), "≤", 2, 2),
        ("bytes of a waiting job", median("bulrush", "bytes", "bytes_per_waiting_job"), "≤", 280, 0),
        ("bytes of a finished job", median("bulrush", "bytes", "bytes_per_finished_job"), "≤", 330, 0),
        ("bulk add, Redis CPU ÷ floor", summary.ratio("bulrush", "floor", "add-bulk", "server_cpu_us_per_job"), "≤", 1.4, 2),
        ("process, Redis CPU ÷ floor", summary.ratio("bulrush", "floor", "process", "server_cpu_us_per_job"), "≤", 1.4, 2),
        ("process, client CPU µs a job", median("bulrush", "process", "client_cpu_us_per_job"), "≤", 6, 1),
    ]
    rows = []
    for what, value, sign, bound, digits in wanted:
        if value is not None:
            # What is compared is what is shown.
            met = round(value, digits) >= bound if sign == "≥" else round(value, digits) <= bound
            rows.append([what, f"{sign} {bound}", number(value, digits), "met" if met else "MISSED"])
    return markdown(["target", "wanted", "measured", ""], rows) if rows else ""
