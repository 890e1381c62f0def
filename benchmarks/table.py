"""The results as Markdown: what a person reads."""

from collections.abc import Sequence
from statistics import median

from benchmarks.burden import Neighbour
from benchmarks.figures import middle_spread
from benchmarks.growth_table import growth_tables
from benchmarks.results import BurdenResult, BurstResult, Results, SpreadResult, median_of


def markdown(results: Results) -> str:
    """Return the tables, with the machine and the versions above them."""
    machine = ", ".join(f"{name} {value}" for name, value in results.machine.items())
    parts = [f"{machine}\n", _bursts(results) if results.bursts else "", _raw(results)]
    if results.spreads:
        parts.append(_spreads(results))
    parts.append(_standing(results))
    if results.burdens:
        parts.append(_burdens(results))
    if results.growth is not None:
        parts += [_table(head, rows) for head, rows in growth_tables(results.growth)]
    return "\n".join(part for part in parts if part)


def _bursts(results: Results) -> str:
    head = [
        "burst",
        "who",
        "events/s",
        "executions/s",
        "daemon ÷ bound",
        "own CPU µs/execution",
        "mongod CPU µs/execution",
    ]
    rows = [row for burst in results.bursts for row in _burst_rows(burst)]
    return _table(head, rows)


def _burst_rows(burst: BurstResult) -> list[list[str]]:
    contenders = {"**reflexd**": burst.daemon, **burst.bounds}
    return [
        [
            burst.name,
            name,
            *(f"{median_of(runs, each):,.0f}" for each in ("events_per_s", "executions_per_s")),
            f"**{burst.ratio(name):.2f}**" if name in burst.bounds else "",
            *(f"{median_of(runs, each):,.0f}" for each in ("own_us", "mongod_us")),
        ]
        for name, runs in contenders.items()
    ]


def _raw(results: Results) -> str:
    if not results.writes_per_s:
        return ""
    writes, drains = median(results.writes_per_s), median(results.drains_per_s)
    return (
        f"Without anybody: {writes:,.0f} leads/s with their ended executions and tasks, written in bulk without "
        f"transactions; {drains:,.0f} events/s drained from the same stream into nothing.\n"
    )


def _spreads(results: Results) -> str:
    head = [
        "milliseconds",
        "reflexd p50",
        "p99",
        "least … most",
        "bound p50",
        "p99",
        "p50 ratio",
        "p99 ratio",
        "samples",
    ]
    text = _table(head, [_spread_row(spread) for spread in results.spreads])
    if results.observer_lag is not None:
        lag = results.observer_lag
        text += f"\nThe observer's own part of a latency: p50 {lag.p50:.1f} ms, p99 {lag.p99:.1f} ms.\n"
    return text


def _spread_row(result: SpreadResult) -> list[str]:
    ours, theirs = middle_spread(result.daemon), middle_spread(result.bound)
    return [
        result.name,
        f"**{ours.p50:.1f}**",
        f"**{ours.p99:.1f}**",
        f"{ours.least:.1f} … {ours.most:.1f}",
        f"{theirs.p50:.1f}",
        f"{theirs.p99:.1f}",
        *("" if ratio is None else f"{ratio:.2f}" for ratio in result.ratios()),
        str(ours.count),
    ]


def _standing(results: Results) -> str:
    rows = [
        [
            f"idle, {replicas} replica{'s' if replicas > 1 else ''}, % of a core",
            f"daemon {run.daemon_percent:.2f}",
            f"mongod {run.mongod_percent:+.2f} beyond its own {run.mongod_alone_percent:.2f}",
        ]
        for replicas, run in results.idle.items()
    ]
    rows += [[f"memory, {replicas} idle, MB", f"{run.rss_mb:.0f}", ""] for replicas, run in results.idle.items()]
    if results.long_burst is not None:
        run = results.long_burst
        leads = results.plan["long_burst"]
        growth = f"{run.rss_before_mb:.0f} → {run.rss_after_mb:.0f}"
        rows.append([f"memory, burst of {leads:,}, MB", growth, f"{run.executions_per_s:,.0f} executions/s"])
    return _table(["standing costs", "reflexd", ""], rows) if rows else ""


def _burdens(results: Results) -> str:
    head = ["the CRM's updates", "beside", "updates/s", "of those beside the consumer", "p50, ms", "p99, ms"]
    head += ["own CPU µs/update", "mongod CPU µs/update", "behind, s"]
    return _table(head, [row for burden in results.burdens for row in _burden_rows(burden)])


def _burden_rows(burden: BurdenResult) -> list[list[str]]:
    rows = []
    for neighbour, runs in burden.runs.items():
        latency = middle_spread([run.latency for run in runs])
        rows.append(
            [
                burden.name,
                str(neighbour),
                f"{median(run.updates_per_s for run in runs):,.0f}",
                f"**{burden.left(neighbour, Neighbour.CONSUMER):.2f}**",
                f"{latency.p50:.1f}",
                f"{latency.p99:.1f}",
                f"{median(run.own_us for run in runs):,.0f}",
                f"{median(run.mongod_us for run in runs):,.0f}",
                f"{median(run.behind_s for run in runs):.1f}",
            ]
        )
    return rows


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
