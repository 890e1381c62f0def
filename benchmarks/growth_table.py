"""What was measured of growth, as Markdown."""

from benchmarks.growth import Growth


def growth_tables(growth: Growth) -> list[tuple[list[str], list[list[str]]]]:
    """Return head and rows of each table."""
    return [_matching(growth), _waiting(growth), _due(growth), _sweeps(growth), _stalls(growth)]


def _matching(growth: Growth) -> tuple[list[str], list[list[str]]]:
    head = [
        "other workflows",
        "updates/s",
        "CPU µs/update",
        "start, s",
        "memory, MB",
        "a switch, ms",
        "CPU ms",
    ]
    return head, [
        [
            f"{run.workflows:,}",
            f"{run.events_per_s:,.0f}",
            f"{run.own_us:.0f}",
            f"{run.start_s:.1f}",
            f"{run.rss_mb:.0f}",
            f"{run.toggle_ms:.0f}",
            f"{run.toggle_cpu_ms:.1f}",
        ]
        for run in growth.matching
    ]


def _waiting(growth: Growth) -> tuple[list[str], list[list[str]]]:
    head = [
        "waiting executions",
        "W1, executions/s",
        "delayed by 2 s: late p50 / p99, ms",
        "idle: daemon, % of a core",
        "idle: mongod",
        "start, s",
        "memory, MB",
    ]
    return head, [
        [
            f"{run.waiting:,}",
            f"{run.executions_per_s:,.0f}",
            f"{run.late.p50:.0f} / {run.late.p99:.0f}",
            f"{run.daemon_percent:.2f}",
            f"{run.mongod_percent:.2f}",
            f"{run.start_s:.1f}",
            f"{run.rss_mb:.0f}",
        ]
        for run in growth.waiting
    ]


def _due(growth: Growth) -> tuple[list[str], list[list[str]]]:
    head = [
        "due in one second",
        "executions/s",
        "all done, s",
        "memory, MB",
        "meanwhile: a lead until its task, p50 / p99, ms",
        "100 of another workflow, s",
    ]
    return head, [
        [
            f"{run.due:,}",
            f"{run.executions_per_s:,.0f}",
            f"{run.took_s:.0f}",
            f"{run.rss_before_mb:.0f} → {run.rss_most_mb:.0f}",
            f"{run.taken_in.p50:,.0f} / {run.taken_in.p99:,.0f}",
            f"{run.other_s:.0f}",
        ]
        for run in growth.due
    ]


def _sweeps(growth: Growth) -> tuple[list[str], list[list[str]]]:
    head = [
        "deals",
        "swept/s",
        "query + bulk insert, /s",
        "ratio",
        "memory, MB",
        "loop stood, ms",
    ]
    return head, [
        [
            f"{run.deals:,}",
            f"{run.swept_per_s:,.0f}",
            f"{run.bound_per_s:,.0f}",
            f"**{run.swept_per_s / run.bound_per_s:.2f}**",
            f"{run.rss_before_mb:.0f} → {run.rss_most_mb:.0f}",
            f"{run.wall_ms:.0f}",
        ]
        for run in growth.sweeps
    ]


def _stalls(growth: Growth) -> tuple[list[str], list[list[str]]]:
    head = ["admins", "written/s", "taken in/s", "loop stood: clock, ms", "of it processor, ms", "memory, MB"]
    return head, [
        [
            run.name,
            f"{run.written_per_s:,.0f}",
            f"{run.taken_per_s:,.0f}",
            f"{run.wall_ms:.0f}",
            f"{run.cpu_ms:.0f}",
            f"{run.rss_before_mb:.0f} → {run.rss_after_mb:.0f}",
        ]
        for run in growth.stalls
    ]
