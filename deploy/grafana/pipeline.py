"""Pipeline health: for those who run it. Rate, errors, latency and saturation of every stage."""

from __future__ import annotations

from typing import Final

from deploy.grafana.panels import Dashboard, Panel, Prom, Row, Variable, falling, rising

_OURS: Final = 'job=~"worker|sink",instance=~"$instance"'
_IS: Final = {"0": ("fine", "green"), "1": ("trouble", "red")}


def _rate(metric: str, *by: str, labels: str = "") -> str:
    return f"sum by ({', '.join(by)}) (rate({metric}{{{labels}}}[$__rate_interval]))"


def _total(metric: str) -> str:
    return f"sum(rate({metric}[$__rate_interval])) or vector(0)"


def _p99(metric: str, *by: str) -> str:
    return f"histogram_quantile(0.99, {_rate(f'{metric}_bucket', *by, 'le')})"


PIPELINE: Final = Dashboard(
    name="pipeline",
    title="Pipeline health",
    says="Whether touchpoints flow from Kafka to the ledger, how fast, and what stands in the way.",
    since="1h",
    refresh="10s",
    variables=(
        Variable(
            name="instance",
            label="Process",
            source=Prom('label_values(up{job=~"worker|sink"}, instance)'),
        ),
    ),
    rows=(
        Row(
            "Now",
            (
                Panel(
                    kind="stat",
                    title="Processes up",
                    says="Workers and sinks that answer. None of a kind: touchpoints wait.",
                    queries=(Prom('sum by (job) (up{job=~"worker|sink"})', "{{job}}"),),
                    steps=falling(1, 1),
                    width=4,
                    height=4,
                ),
                Panel(
                    kind="stat",
                    title="Alerts firing",
                    says="docs/alerts.md says what each means and what to do.",
                    queries=(
                        Prom(
                            'count(ALERTS{alertname=~"Journey.*",alertstate="firing"}) or vector(0)'
                        ),
                    ),
                    steps=((None, "green"), (1, "red")),
                    width=4,
                    height=4,
                ),
                Panel(
                    kind="stat",
                    title="Touchpoints a second",
                    says="Counted for the first time, in the last minute.",
                    queries=(Prom("sum(journey:touchpoints:rate1m)"),),
                    unit="cps",
                    width=4,
                    height=4,
                ),
                Panel(
                    kind="stat",
                    title="Kafka to ledger, p99",
                    says="So soon 99 of 100 are in the ledger. JourneySlow: over 30 s.",
                    queries=(Prom("journey:end_to_end_seconds:p99_5m"),),
                    unit="s",
                    steps=rising(5, 30),
                    width=4,
                    height=4,
                ),
                Panel(
                    kind="stat",
                    title="Records waiting",
                    says="In the topic where most wait. JourneyLag: over five minutes' work.",
                    queries=(Prom("max(journey:lag_records)"),),
                    steps=rising(1_000, 100_000),
                    width=4,
                    height=4,
                ),
                Panel(
                    kind="stat",
                    title="Dead letters",
                    says="Share of records rejected in five minutes. JourneyDeadLetters: over 5 %.",
                    queries=(Prom("journey:dead_letters:share5m"),),
                    unit="percentunit",
                    steps=rising(0.01, 0.05),
                    width=4,
                    height=4,
                ),
                Panel(
                    kind="states",
                    title="Dependencies and progress",
                    says="Kafka and ClickHouse as workers and sinks find them, and whether work "
                    "waits while nothing moves.",
                    queries=(
                        Prom(
                            "max by (job, dependency) (journey_outage)", "{{dependency}} ({{job}})"
                        ),
                        Prom("max by (job) (journey_stuck)", "{{job}} stuck"),
                    ),
                    values=_IS,
                    width=12,
                    height=4,
                ),
                Panel(
                    kind="states",
                    title="Alerts",
                    says="Pending: its condition holds, but not yet for long enough to fire.",
                    queries=(
                        Prom(
                            "max by (alertname) "
                            '(ALERTS{alertname=~"Journey.*",alertstate="pending"} '
                            'or 2 * ALERTS{alertname=~"Journey.*",alertstate="firing"})',
                            "{{alertname}}",
                        ),
                    ),
                    values={"1": ("pending", "orange"), "2": ("firing", "red")},
                    empty="none",
                    width=12,
                    height=4,
                ),
            ),
        ),
        Row(
            "Rate and errors",
            (
                Panel(
                    kind="lines",
                    title="Records read, by agent",
                    says="What each agent reads. Agents in a row read about as much as each other.",
                    queries=(Prom("journey:records:rate1m", "{{agent}}"),),
                    unit="cps",
                ),
                Panel(
                    kind="lines",
                    title="Rows written, by table",
                    says="What the sink writes to ClickHouse; a replayed row counts again.",
                    queries=(Prom(_rate("journey_rows_inserted_total", "table"), "{{table}}"),),
                    unit="cps",
                ),
                Panel(
                    kind="lines",
                    title="Customers and companies evaluated",
                    says="Health computed anew, by what made it necessary.",
                    queries=(
                        Prom(_rate("journey_evaluations_total", "trigger"), "{{trigger}}"),
                        Prom(
                            _rate("journey_account_evaluations_total", "trigger"),
                            "companies: {{trigger}}",
                        ),
                    ),
                    unit="cps",
                ),
                Panel(
                    kind="stack",
                    title="Dead letters, by reason",
                    says="Rejected records. `journey dead list` shows the newest of each reason.",
                    queries=(Prom(_rate("journey_dead_letters_total", "reason"), "{{reason}}"),),
                    unit="cps",
                    empty="none",
                ),
                Panel(
                    kind="stack",
                    title="Inserts that failed, by table",
                    says="`unavailable` is tried again; `drift` and `refused` stop the sink.",
                    queries=(
                        Prom(
                            _rate("journey_insert_errors_total", "table", "kind"),
                            "{{table}}: {{kind}}",
                        ),
                    ),
                    unit="cps",
                    empty="none",
                ),
                Panel(
                    kind="lines",
                    title="Sent twice, sent on, merged",
                    says="Duplicates of producers, touchpoints that came under another key than "
                    "their anchor, and identifiers whose customer changed.",
                    queries=(
                        Prom("sum(rate(journey_duplicates_total[$__rate_interval]))", "sent twice"),
                        Prom("sum(rate(journey_rekeyed_total[$__rate_interval]))", "sent on"),
                        Prom("sum(rate(journey_members_total[$__rate_interval]))", "merged"),
                    ),
                    unit="cps",
                ),
            ),
        ),
        Row(
            "Latency",
            (
                Panel(
                    kind="lines",
                    title="Kafka to ledger",
                    says="From the broker taking a touchpoint to ClickHouse acknowledging its row.",
                    queries=(
                        Prom("journey:end_to_end_seconds:p50_5m", "p50"),
                        Prom("journey:end_to_end_seconds:p99_5m", "p99"),
                    ),
                    unit="s",
                    steps=((None, "green"), (30, "red")),
                ),
                Panel(
                    kind="heatmap",
                    title="Kafka to ledger, all",
                    says="How many touchpoints took how long: two bands are two kinds of journey.",
                    queries=(Prom(_rate("journey_end_to_end_seconds_bucket", "le"), "{{le}}"),),
                    unit="cps",
                ),
                Panel(
                    kind="lines",
                    title="Kafka to health and to outreach, p99",
                    says="From the broker taking a touchpoint to its customer's health being "
                    "published, and to the guard's decision on what it led to.",
                    queries=(
                        Prom(_p99("journey_health_seconds"), "health"),
                        Prom(_p99("journey_outreach_seconds"), "decision"),
                    ),
                    unit="s",
                ),
                Panel(
                    kind="lines",
                    title="A chunk, by agent, p99",
                    says="Time of an agent on one chunk of records, output acknowledged.",
                    queries=(Prom("journey:chunk_seconds:p99_5m", "{{agent}}"),),
                    unit="s",
                    width=12,
                ),
                Panel(
                    kind="lines",
                    title="An insert, by table, p99",
                    says="Time of one insert into ClickHouse, building its columns included.",
                    queries=(Prom("journey:insert_seconds:p99_5m", "{{table}}"),),
                    unit="s",
                    width=12,
                ),
            ),
        ),
        Row(
            "Saturation",
            (
                Panel(
                    kind="lines",
                    title="Records waiting, by topic",
                    says="In Kafka, yet to be read by workers or by the sink. Growing: add "
                    "workers, up to the number of partitions.",
                    queries=(Prom("journey:lag_records", "{{topic}} ({{job}})"),),
                ),
                Panel(
                    kind="lines",
                    title="Read by the sink, not yet written",
                    says="Grows while ClickHouse is slow or away; bounded.",
                    queries=(Prom("sum(journey_sink_buffer_rows)", "rows"),),
                ),
                Panel(
                    kind="lines",
                    title="Skew of partitions",
                    says="The busiest partition over the mean. JourneyPartitionSkew: over 4.",
                    queries=(Prom("journey:partition_skew", "{{topic}}"),),
                    steps=((None, "green"), (4, "red")),
                ),
                Panel(
                    kind="lines",
                    title="Cores used",
                    says="One process uses little more than one core: at 1, add another.",
                    queries=(
                        Prom(
                            f"rate(process_cpu_seconds_total{{{_OURS}}}[$__rate_interval])",
                            "{{job}} {{instance}}",
                        ),
                    ),
                ),
                Panel(
                    kind="lines",
                    title="Memory",
                    says="Resident. State is on disk where JOURNEY_STATE names a folder.",
                    queries=(
                        Prom(
                            f"process_resident_memory_bytes{{{_OURS}}}",
                            "{{job}} {{instance}}",
                        ),
                    ),
                    unit="bytes",
                ),
                Panel(
                    kind="lines",
                    title="Dead letters among a partition's last 1,000",
                    says="At 50 % a worker stops. JourneyDeadLetterLimitNear: over 30 %.",
                    queries=(
                        Prom("max by (partition) (journey_dead_letter_share)", "{{partition}}"),
                    ),
                    unit="percentunit",
                    steps=((None, "green"), (0.3, "red")),
                ),
            ),
        ),
        Row(
            "Producers and alerts",
            (
                Panel(
                    kind="lines",
                    title="Records published",
                    says="By producers that are scraped: acknowledged, and given up.",
                    queries=(
                        Prom(_total("journey_published_total"), "acknowledged"),
                        Prom(_total("journey_publish_errors_total"), "given up"),
                    ),
                    unit="cps",
                ),
                Panel(
                    kind="lines",
                    title="Record sent to acknowledged, p99",
                    says="As producers see the broker.",
                    queries=(
                        Prom(
                            f"{_p99('journey_publish_seconds')} or vector(0)",
                            "p99",
                        ),
                    ),
                    unit="s",
                ),
                Panel(
                    kind="lines",
                    title="Bytes on their way",
                    says="Sent and not acknowledged; a producer waits beyond 32 MiB.",
                    queries=(Prom("sum(journey_publish_pending_bytes) or vector(0)", "bytes"),),
                    unit="bytes",
                ),
                Panel(
                    kind="lines",
                    title="Alertmanager's webhooks, by outcome",
                    says="Alerts on their way to outreach. JourneyWebhooksFailing: any not taken.",
                    queries=(
                        Prom(
                            f"{_rate('journey_webhooks_total', 'outcome')}"
                            ' or label_replace(vector(0), "outcome", "none", "", "")',
                            "{{outcome}}",
                        ),
                    ),
                    unit="cps",
                ),
                Panel(
                    kind="lines",
                    title="A webhook, p99",
                    says="Until the requests that an alert led to were in Kafka.",
                    queries=(
                        Prom("journey:webhook_seconds:p99_5m or vector(0)", "p99"),
                        Prom("sum(journey_webhooks_waiting) or vector(0)", "waiting (number)"),
                    ),
                    unit="s",
                ),
                Panel(
                    kind="stat",
                    title="Asked for by alerts",
                    says="Requests to the guard that alerts led to, by rule, in the time shown; "
                    "those repeated count again, the guard decides once.",
                    queries=(
                        Prom(
                            "sum by (rule) (increase(journey_alert_requests_total[$__range]))"
                            ' or label_replace(vector(0), "rule", "none", "", "")',
                            "{{rule}}",
                        ),
                    ),
                    decimals=0,
                ),
            ),
            folded=True,
        ),
        Row(
            "Partitions and state",
            (
                Panel(
                    kind="lines",
                    title="Partitions owned, by topic",
                    says="Less than a topic has: nobody reads the rest.",
                    queries=(Prom("sum by (topic) (journey_assigned_partitions)", "{{topic}}"),),
                ),
                Panel(
                    kind="lines",
                    title="Records finished, by topic",
                    says="How fast the offsets of workers and sinks move.",
                    queries=(
                        Prom(
                            "sum by (job, topic) (deriv(journey_offset[5m]))", "{{topic}} ({{job}})"
                        ),
                    ),
                    unit="cps",
                ),
                Panel(
                    kind="lines",
                    title="Standby behind, by topic",
                    says="Records that a standby has yet to read. None without JOURNEY_STANDBY.",
                    queries=(
                        Prom(
                            "sum by (topic) (journey_standby_lag)"
                            ' or label_replace(vector(0), "topic", "no standby", "", "")',
                            "{{topic}}",
                        ),
                    ),
                ),
                Panel(
                    kind="table",
                    title="Recovery since start, by topic",
                    says="Mean seconds to recover a partition: store opened, tail read.",
                    queries=(
                        Prom(
                            "sum by (topic) (journey_recovery_seconds_sum)"
                            " / sum by (topic) (journey_recovery_seconds_count)"
                        ),
                    ),
                    unit="s",
                ),
                Panel(
                    kind="table",
                    title="Records recovered since start",
                    says="Found in the store on disk, or read from the changelog.",
                    queries=(Prom("sum by (topic, source) (journey_recovered_records_total)"),),
                ),
                Panel(
                    kind="stat",
                    title="Put right or cut short in the last hour",
                    says="Stores filled anew; records of a changelog that its owner had not "
                    "written, and those sent again so that what counts stands last; anchors of "
                    "which not everything is kept any more.",
                    queries=(
                        Prom(
                            "sum(increase(journey_stores_rebuilt_total[1h])) or vector(0)",
                            "stores rebuilt",
                        ),
                        Prom(
                            "sum(increase(journey_foreign_records_total[1h])) or vector(0)",
                            "foreign records",
                        ),
                        Prom(
                            "sum(increase(journey_restated_records_total[1h])) or vector(0)",
                            "sent again",
                        ),
                        Prom(
                            "sum(increase(journey_bounded_anchors_total[1h])) or vector(0)",
                            "anchors bounded",
                        ),
                    ),
                ),
                Panel(
                    kind="stack",
                    title="Chunks not finished, by agent",
                    says="The worker ended there. `ownership`: another has the partition since.",
                    queries=(
                        Prom(
                            "journey:chunk_errors:increase5m"
                            ' or label_replace(label_replace(vector(0), "agent", "all", "", ""), '
                            '"why", "none", "", "")',
                            "{{agent}}: {{why}}",
                        ),
                    ),
                    width=24,
                ),
            ),
            folded=True,
        ),
    ),
)
