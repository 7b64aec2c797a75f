#!/usr/bin/env python3
"""Writes deploy/grafana/dashboards/*.json from the descriptions below: they say what is asked and in which words it is
shown, and the rest of a dashboard follows.

  deploy/grafana/dashboards.py            writes the files
  deploy/grafana/dashboards.py --check    fails if they are not what would be written
"""

import json
import pathlib
import sys

FOLDER = pathlib.Path(__file__).resolve().parent / "dashboards"
DATASOURCE = {"type": "prometheus", "uid": "prometheus"}
COLUMNS = 24
# Filters on the variables; a shard is one of a run.
RUN, SHARD = 'run=~"$run"', 'run=~"$run", shard=~"$shard"'


def where(**labels):
    """One run's series with these labels, for the braces of a query."""
    return ", ".join([RUN, *(f'{name}="{value}"' for name, value in labels.items())])


def rate(metric, labels=RUN):
    return f"rate({metric}{{{labels}}}[$__rate_interval])" if labels else f"rate({metric}[$__rate_interval])"


def sum_by(names, expression):
    return f"sum by ({names}) ({expression})"


def share(metric, labels, by="run"):
    """The share of its time that a role spends in each state, over all of its workers."""
    each = rate(metric, labels)
    return f"{sum_by(f'{by}, state', each)} / on ({by}) group_left () {sum_by(by, each)}"


def quantile(q, metric, labels=RUN, by="run"):
    names = f"{by}, le" if by else "le"
    return f"histogram_quantile({q}, {sum_by(names, rate(metric + '_bucket', labels))})"


def of_processes(expression):
    """The metric of a process, summed over the processes of each job that serve the run."""
    return (f"sum by (job) (max by (job, instance) (pompc:process_run{{{RUN}}} * on (job, instance) group_left () "
            f"{expression}))")


# --- Panels: (kind, title, width, height, unit, queries, options); a query is (PromQL, legend).

def stat(title, width, unit, *queries, decimals=0, **options):
    return ("stat", title, width, 4, unit, queries, {"decimals": decimals, **options})


def graph(title, width, unit, *queries, **options):
    return ("timeseries", title, width, 8, unit, queries, options)


def shares(title, width, *queries):
    return graph(title, width, "percentunit", *queries, stack=True, minimum=0, maximum=1)


def table(title, width, *queries):
    return ("table", title, width, 8, "short", queries, {})


def row(title):
    return ("row", title, COLUMNS, 1, "", (), {})


RETURNS = graph(
    "Return", 12, "short", (f"pompc_learner_evaluation_return_mean{{{RUN}}}", "evaluation, {{run}}"),
    (f"pompc_learner_training_return_mean{{{RUN}}}", "training episodes, {{run}}"))
PLAN_LATENCY = graph(
    "Latency of a plan, as actors see it", 8, "s",
    (quantile(0.5, "pompc_actor_plan_latency_seconds"), "median, {{run}}"),
    (quantile(0.99, "pompc_actor_plan_latency_seconds"), "99 %, {{run}}"))
ACTOR_TIME = shares("Time of actors", 6, (share("pompc_actor_state_seconds_total", where(role="actor")), "{{state}}"))
PLANNER_TIME = shares("Time of planners", 6, (
    f"sum by (state) ({rate('pompc_planner_state_seconds_total', '')}) / on () group_left () "
    f"sum({rate('pompc_planner_state_seconds_total', '')})", "{{state}}"))
REPLAY_TIME = shares("Time of replay shards", 6, (share("pompc_replay_state_seconds_total", RUN), "{{state}}"))
LEARNER_TIME = shares("Time of the learner", 6, (share("pompc_learner_state_seconds_total", RUN), "{{state}}"))
CHECKPOINTS = graph(
    "Age of the newest checkpoint", 6, "s", (f"pompc_learner_checkpoint_age_seconds{{{RUN}}}", "{{run}}"),
    (f"pompc_learner_checkpoint_failing_seconds{{{RUN}}}", "failing, {{run}}"))

OVERVIEW = [
    row("The run"),
    stat("Phase", 4, "short", (f"pompc_learner_phase_active{{{RUN}}} == 1", "{{phase}}"), text="name"),
    stat("Rows", 4, "short", (f"pompc_learner_rows_total{{{RUN}}}", "{{run}}")),
    stat("Updates", 4, "short", (f"pompc_learner_updates_total{{{RUN}}}", "{{run}}")),
    stat("Best evaluation", 4, "short", (f"pompc_learner_evaluation_best_return_mean{{{RUN}}}", "{{run}}"), decimals=1),
    stat("Age", 4, "s", (f"pompc_learner_elapsed_seconds{{{RUN}}}", "{{run}}")),
    stat("Actors, evaluators", 4, "short", (f"pompc_learner_leases{{{RUN}}}", "{{role}}"),
         (f"pompc_learner_expected_actors{{{RUN}}}", "expected actors")),
    RETURNS,
    graph("Rows and updates per second", 12, "short",
          (sum_by("run", rate("pompc_replay_accepted_rows_total")), "rows, {{run}}"),
          (sum_by("run", rate("pompc_learner_updates_total")), "updates, {{run}}")),
    row("Who waits for whom"),
    ACTOR_TIME, PLANNER_TIME, REPLAY_TIME, LEARNER_TIME,
    graph("Why somebody waits", 12, "percentunit",
          (rate("pompc_learner_waiting_seconds_total"), "learner: {{reason}}, {{run}}"),
          (rate("pompc_learner_writers_blocked_seconds_total"), "writers: {{reason}}, {{run}}")),
    graph("Room for rows and updates", 12, "short",
          (f"pompc_learner_rows_bound{{{RUN}}} - pompc_learner_rows_total{{{RUN}}}", "rows, {{run}}"),
          (f"pompc_learner_updates_bound{{{RUN}}} - pompc_learner_updates_total{{{RUN}}}", "updates, {{run}}")),
    row("In a few numbers"),
    PLAN_LATENCY,
    graph("Rows stored, of what fits", 8, "percentunit",
          (f"sum by (run) (pompc_replay_stored_rows{{{RUN}}}) / sum by (run) (pompc_replay_capacity_rows{{{RUN}}})",
           "{{run}}"), minimum=0, maximum=1),
    graph("Parameters that a planner lacks", 8, "s",
          (f"pompc_learner_subscriber_behind_seconds{{{RUN}}}", "oldest, {{run}}")),
    row("Alerts and processes"),
    table("Alerts that fire", 12, ('ALERTS{alertstate="firing"}', "")),
    table("Certificates expire in days", 12, ("(pompc_certificate_expiry_timestamp_seconds - time()) / 86400", "")),
    graph("Processes that answer", 6, "short", ("sum by (job) (up)", "{{job}}")),
    graph("Cores used", 6, "short", (of_processes("rate(process_cpu_seconds_total[$__rate_interval])"), "{{job}}")),
    graph("Memory", 6, "bytes", (of_processes("process_resident_memory_bytes"), "{{job}}")),
    graph("Descriptors, of those allowed", 6, "percentunit",
          ("max by (job) (process_open_fds / process_max_fds)", "{{job}}"), minimum=0, maximum=1),
]

PLANNER = [
    row("Plans"),
    graph("Plans per second", 8, "short", (sum_by("run", rate("pompc_planner_plans_total")), "{{run}}")),
    PLAN_LATENCY,
    graph("Iterations of a plan", 8, "short",
          (f"{sum_by('run', rate('pompc_planner_iterations_total'))} / {sum_by('run', rate('pompc_planner_plans_total'))}",
           "{{run}}"),
          (f"{sum_by('run', rate('pompc_planner_shortened_plans_total'))} / "
           f"{sum_by('run', rate('pompc_planner_plans_total'))}", "shortened, share, {{run}}")),
    row("Requests that wait, and those without a plan"),
    graph("Requests that wait", 6, "short", (sum_by("run", f"pompc_planner_queued_requests{{{RUN}}}"), "{{run}}")),
    graph("Wait of a request, mean", 6, "s",
          (f"{sum_by('run', rate('pompc_planner_run_queue_wait_seconds_total'))} / "
           f"{sum_by('run', rate('pompc_planner_plans_total'))}", "{{run}}")),
    graph("Wait and computing, 99 %, all runs", 6, "s",
          (quantile(0.99, "pompc_planner_queue_wait_seconds", "", by=""), "wait"),
          (quantile(0.99, "pompc_planner_compute_seconds", "", by=""), "computing")),
    graph("Requests without a plan per second", 6, "short",
          (sum_by("run, reason", rate("pompc_planner_unplanned_requests_total")), "{{reason}}, {{run}}")),
    row("Planners"),
    PLANNER_TIME,
    graph("Share of time computing", 6, "percentunit",
          ('avg by (instance) (rate(pompc_planner_state_seconds_total{state="computing"}[$__rate_interval]))',
           "{{instance}}"), minimum=0, maximum=1),
    graph("Requests in a batch", 6, "short",
          (f"sum by (instance) ({rate('pompc_planner_batch_requests_sum', '')}) / "
           f"sum by (instance) ({rate('pompc_planner_batch_requests_count', '')})", "{{instance}}")),
    graph("Runs that a planner serves", 6, "short",
          ('count by (instance) (pompc_planner_learner_connected{run!=""})', "{{instance}}")),
    row("Parameters"),
    graph("Newest version", 6, "short", (f"pompc_planner_parameters_number{{{RUN}}}", "{{instance}}, {{run}}")),
    graph("Received", 6, "Bps", (sum_by("instance", rate("pompc_planner_received_bytes_total")), "{{instance}}")),
    graph("Versions received per second", 6, "short",
          (sum_by("run", rate("pompc_planner_received_versions_total")), "{{run}}"),
          (f"sum by (run) (pompc_planner_kept_versions{{{RUN}}})", "kept for evaluations, {{run}}")),
    graph("Connected to the learner; streams lost", 6, "short",
          (f"min by (instance, run) (pompc_planner_learner_connected{{{RUN}}})", "connected, {{instance}}, {{run}}"),
          (sum_by("run", rate("pompc_planner_learner_disconnects_total")), "lost per second, {{run}}")),
]

REPLAY = [
    row("Rows"),
    graph("Rows per second", 8, "short",
          (sum_by("run, shard", rate("pompc_replay_accepted_rows_total", SHARD)), "shard {{shard}}"),
          (sum_by("run, shard", rate("pompc_replay_planned_rows_total", SHARD)), "with a plan, shard {{shard}}")),
    graph("Rows stored", 8, "short", (f"pompc_replay_stored_rows{{{SHARD}}}", "shard {{shard}}"),
          (f"pompc_replay_capacity_rows{{{SHARD}}}", "fit in shard {{shard}}")),
    graph("Memory of the rows", 8, "bytes", (f"pompc_replay_stored_bytes{{{SHARD}}}", "shard {{shard}}")),
    row("Who waits"),
    shares("Time of the shards", 8, (share("pompc_replay_state_seconds_total", SHARD, "run, shard"),
                                     "{{state}}, shard {{shard}}")),
    graph("Streams of writers that wait", 8, "short",
          (sum_by("shard, reason", f"pompc_replay_blocked_streams{{{SHARD}}}"), "for {{reason}}, shard {{shard}}"),
          (f"pompc_replay_streams{{{SHARD}}}", "all, shard {{shard}}")),
    graph("Rows granted ahead", 8, "short",
          (f"pompc_replay_granted_rows{{{SHARD}}} - pompc_replay_accepted_rows_total{{{SHARD}}}", "shard {{shard}}")),
    row("Windows"),
    graph("Windows that can be sampled", 8, "short", (f"pompc_replay_windows{{{SHARD}}}", "shard {{shard}}"),
          (f"pompc_replay_barred_windows{{{SHARD}}}", "barred, shard {{shard}}")),
    graph("Windows sampled per second, by table", 8, "short",
          (sum_by("shard, table", rate("pompc_replay_table_sampled_windows_total", SHARD)), "{{table}}, shard {{shard}}"),
          (sum_by("shard", rate("pompc_replay_sampled_windows_total", SHARD)), "all, shard {{shard}}")),
    graph("Windows of a table, and its mass", 8, "short",
          (f"pompc_replay_table_windows{{{SHARD}}}", "windows of {{table}}, shard {{shard}}"),
          (f"pompc_replay_table_mass{{{SHARD}}}", "mass of {{table}}, shard {{shard}}"), log=True),
    row("Disk"),
    graph("Time of a commit, mean", 6, "s",
          (f"{sum_by('run, shard', rate('pompc_replay_store_commit_seconds_total', SHARD))} / "
           f"{sum_by('run, shard', rate('pompc_replay_store_commits_total', SHARD))}", "shard {{shard}}")),
    graph("Commits per second; attempts that failed", 6, "short",
          (sum_by("shard", rate("pompc_replay_store_commits_total", SHARD)), "shard {{shard}}"),
          (sum_by("shard", rate("pompc_replay_store_failed_writes_total", SHARD)), "failed, shard {{shard}}")),
    graph("Bytes that wait to be written", 6, "bytes",
          (f"pompc_replay_store_pending_bytes{{{SHARD}}}", "shard {{shard}}")),
    graph("Room on the disk", 6, "bytes", (f"pompc_replay_disk_free_bytes{{{SHARD}}}", "free, shard {{shard}}"),
          (f"pompc_replay_disk_bytes{{{SHARD}}}", "size, shard {{shard}}")),
]

ACTORS = [
    row("Acting"),
    graph("Rows per second", 8, "short",
          (sum_by("run, role, phase", rate("pompc_actor_rows_total")), "{{role}}, {{phase}}, {{run}}")),
    graph("Actors and evaluators", 8, "short",
          (f"pompc_learner_leases{{{RUN}}}", "{{role}}, {{run}}"),
          (f"pompc_learner_waiting_leases{{{RUN}}}", "wait: {{role}}, {{run}}"),
          (f"pompc_learner_environments{{{RUN}}}", "environments, {{run}}"),
          (f"pompc_learner_wanted_environments{{{RUN}}}", "environments wanted, {{run}}"),
          (f"pompc_learner_expected_actors{{{RUN}}}", "expected, {{run}}")),
    graph("Leases that ended per second", 8, "short",
          (sum_by("run, how", rate("pompc_learner_ended_leases_total")), "{{how}}, {{run}}")),
    shares("Time of actors", 12, (share("pompc_actor_state_seconds_total", where(role="actor")), "{{state}}")),
    shares("Time of evaluators", 12, (share("pompc_actor_state_seconds_total", where(role="evaluator")), "{{state}}")),
    row("Plans"),
    PLAN_LATENCY,
    graph("Plans that failed, and were asked twice, per second", 8, "short",
          (sum_by("run", rate("pompc_actor_plan_failures_total")), "failed, {{run}}"),
          (sum_by("run", rate("pompc_actor_hedged_plans_total")), "asked twice, {{run}}")),
    graph("Plans per second, as actors count them", 8, "short",
          (sum_by("run, role", rate("pompc_actor_plan_latency_seconds_count")), "{{role}}, {{run}}")),
    row("Episodes"),
    graph("Episodes per second, by their end", 8, "short",
          (sum_by("run, end", rate("pompc_actor_episodes_total")), "{{end}}, {{run}}")),
    graph("Return of the newest episodes", 8, "short",
          (f'avg by (run, role) (pompc_actor_episode_return{{{RUN}}})', "mean of {{role}}s, {{run}}"),
          (f'max by (run, role) (pompc_actor_episode_return{{{RUN}}})', "best of {{role}}s, {{run}}")),
    graph("Refused by replay, resumed, per second", 8, "short",
          (sum_by("run", rate("pompc_actor_refused_episodes_total")), "refused episodes, {{run}}"),
          (sum_by("run", rate("pompc_actor_refused_rows_total")), "lost rows, {{run}}"),
          (sum_by("run", rate("pompc_actor_resumed_segments_total")), "resumed segments, {{run}}")),
    row("Processes"),
    graph("Slowest actors: rows per second", 12, "short",
          (f"bottomk(10, {sum_by('instance', rate('pompc_actor_rows_total', where(role='actor')))})", "{{instance}}")),
    graph("Evaluations played per second", 12, "short",
          (sum_by("instance", rate("pompc_actor_evaluations_total", where(role="evaluator"))), "{{instance}}")),
]

VALUE = "pompc_learner_update_value"
LEARNER = [
    row("Learning"),
    RETURNS,
    LEARNER_TIME,
    shares("Time of the thread that draws batches", 6,
           (share("pompc_learner_prefetch_state_seconds_total", RUN), "{{state}}")),
    row("Updates"),
    graph("Losses", 6, "short", (f'{VALUE}{{{RUN}, name=~".*loss.*"}}', "{{name}}"), log=True),
    graph("Gradient norms, scales, KL, entropy", 6, "short",
          (f'{VALUE}{{{RUN}, name!~".*loss.*|staleness_versions|sample_draws"}}', "{{name}}"), log=True),
    graph("Staleness and reuse of samples", 6, "short",
          (f'{VALUE}{{{RUN}, name="staleness_versions"}}', "versions behind"),
          (f'{VALUE}{{{RUN}, name="sample_draws"}}', "draws of a window"), log=True),
    graph("What was not finite", 6, "short",
          (f"sum by (loss) (increase(pompc_learner_restorations_total{{{RUN}}}[$__rate_interval]))", "{{loss}}"),
          (sum_by("run", rate("pompc_learner_barred_windows_total")), "windows barred per second")),
    row("Rows and batches"),
    graph("Updates per second", 6, "short", (sum_by("run", rate("pompc_learner_updates_total")), "{{run}}")),
    graph("Batches", 6, "short", (f"pompc_learner_prefetched_batches{{{RUN}}}", "ready"),
          (f"pompc_learner_prefetch_in_flight_batches{{{RUN}}}", "in flight")),
    graph("Rows", 6, "short", (f"pompc_learner_stored_rows{{{RUN}}}", "stored"),
          (f"pompc_learner_needed_rows{{{RUN}}}", "needed"), (f"pompc_learner_rows_bound{{{RUN}}}", "bound of the run")),
    graph("Limits in force", 6, "short", (f"pompc_learner_limit{{{RUN}}}", "{{setting}}"), log=True),
    row("Writing back"),
    graph("Re-planned rows per second", 6, "short",
          (sum_by("result", rate("pompc_learner_replanned_rows_total")), "{{result}}")),
    graph("Priorities per second", 6, "short", (sum_by("result", rate("pompc_learner_priorities_total")), "{{result}}")),
    graph("Shards that answer, and their windows", 6, "short",
          (f"pompc_learner_shard_reachable{{{RUN}}}", "shard {{shard}} answers"),
          (f"pompc_learner_shard_windows{{{RUN}}}", "windows of shard {{shard}}"), log=True),
    graph("Learner processes", 6, "short", (f"pompc_learner_ranks{{{RUN}}}", "{{run}}")),
    row("Versions, checkpoints, evaluations"),
    graph("Versions sent per second", 6, "short",
          (sum_by("run", rate("pompc_learner_sent_versions_total")), "{{run}}"),
          (f"pompc_learner_subscribers{{{RUN}}}", "planners that follow, {{run}}")),
    CHECKPOINTS,
    graph("Checkpoints", 6, "short",
          (f"sum by (result) (increase(pompc_learner_checkpoints_total{{{RUN}}}[$__rate_interval]))", "{{result}}"),
          (f"pompc_learner_checkpoints_waiting{{{RUN}}}", "waiting"),
          (rate("pompc_learner_checkpoint_seconds_total"), "share of time")),
    graph("Evaluations", 6, "short", (f"pompc_learner_evaluations_total{{{RUN}}}", "with a result, {{run}}"),
          (f"pompc_learner_dropped_evaluations_total{{{RUN}}}", "given up, {{run}}")),
    row("Disk"),
    graph("Room on the disk of the run directory", 12, "bytes",
          (f"pompc_learner_disk_free_bytes{{{RUN}}}", "free, {{run}}"),
          (f"pompc_learner_disk_bytes{{{RUN}}}", "size, {{run}}")),
    graph("Sent to planners", 12, "Bps", (rate("pompc_learner_sent_bytes_total"), "{{run}}")),
]

SWEEP = [
    row("Runs"),
    stat("Runs", 4, "short", (f"count(pompc_learner_run_info{{{RUN}}})", "")),
    stat("Runs that go on", 4, "short", (f"sum(run:pompc_active{{{RUN}}})", "")),
    stat("Rows per second, all", 4, "short", (f"sum(run:pompc_accepted_rows:rate5m{{{RUN}}})", "")),
    stat("Updates per second, all", 4, "short", (f"sum(run:pompc_updates:rate5m{{{RUN}}})", "")),
    stat("Actors, all", 4, "short", (f'sum(pompc_learner_leases{{{RUN}, role="actor"}})', "")),
    stat("Best return", 4, "short", (f"max(pompc_learner_evaluation_best_return_mean{{{RUN}}})", ""), decimals=1),
    table("Folders and tasks", 12, (f"pompc_learner_run_info{{{RUN}}}", "")),
    table("Best returns", 12, (f"sort_desc(max by (run) (pompc_learner_evaluation_best_return_mean{{{RUN}}}))", "")),
    row("Learning"),
    graph("Return of the newest evaluation", 12, "short",
          (f"max by (run) (pompc_learner_evaluation_return_mean{{{RUN}}})", "{{run}}")),
    graph("Rows of each run", 12, "short", (f"max by (run) (pompc_learner_rows_total{{{RUN}}})", "{{run}}")),
    graph("Rows per second", 8, "short", (f"run:pompc_accepted_rows:rate5m{{{RUN}}}", "{{run}}")),
    graph("Updates per second", 8, "short", (f"run:pompc_updates:rate5m{{{RUN}}}", "{{run}}")),
    graph("Updates for a row", 8, "short",
          (f"run:pompc_updates:rate5m{{{RUN}}} / run:pompc_accepted_rows:rate5m{{{RUN}}}", "{{run}}")),
    row("Who gets what"),
    graph("Plans per second", 8, "short", (sum_by("run", rate("pompc_planner_plans_total")), "{{run}}")),
    graph("Latency of a plan: median, 99 %", 8, "s",
          (f"run:pompc_plan_latency_seconds:p50_5m{{{RUN}}}", "median, {{run}}"),
          (f"run:pompc_plan_latency_seconds:p99_5m{{{RUN}}}", "99 %, {{run}}")),
    graph("Actors", 8, "short", (f'max by (run) (pompc_learner_leases{{{RUN}, role="actor"}})', "{{run}}")),
    graph("Share of time that actors wait for plans", 8, "percentunit",
          (f'run_state:pompc_actor:share5m{{{RUN}, state="waiting_for_plan"}}', "{{run}}"), minimum=0, maximum=1),
    graph("Share of time that shards hold writers back", 8, "percentunit",
          (f'run_state:pompc_replay:share5m{{{RUN}, state="blocked"}}', "{{run}}"), minimum=0, maximum=1),
    graph("Share of time that learners wait for rows", 8, "percentunit",
          (f'run_state:pompc_learner:share5m{{{RUN}, state="waiting_for_rows"}}', "{{run}}"), minimum=0, maximum=1),
]

# name of the file -> (title, panels, whether there is a variable for the shard)
DASHBOARDS = {
    "overview": ("pompc overview", OVERVIEW, False),
    "planner": ("pompc planner", PLANNER, False),
    "replay": ("pompc replay, per shard", REPLAY, True),
    "actors": ("pompc actors", ACTORS, False),
    "learner": ("pompc learner", LEARNER, False),
    "sweep": ("pompc sweep", SWEEP, False),
}

# --- From here on, how Grafana writes it.


def variable(name, query):
    """A variable of label values: several can be chosen, and all at first. "All" matches where the label is absent too."""
    return {"type": "query", "name": name, "label": name, "datasource": DATASOURCE, "query": query, "definition": query,
            "refresh": 2, "sort": 3, "multi": True, "includeAll": True, "allValue": ".*", "regex": "", "hide": 0,
            "options": [], "current": {"selected": True, "text": ["All"], "value": ["$__all"]}}


def annotation(name, color, expression, text, at_value=False):
    """`at_value`: the value of the series is when it happened, in milliseconds."""
    return {"name": name, "datasource": DATASOURCE, "enable": True, "hide": False, "iconColor": color, "expr": expression,
            "step": "15s", "titleFormat": name, "textFormat": text, "useValueForTime": at_value}


ANNOTATIONS = [
    annotation("start of a process", "red", "process_start_time_seconds * 1000", "{{job}} {{instance}}", at_value=True),
    annotation("start of a learner", "orange", f"changes(pompc_learner_parameters_incarnation{{{RUN}}}[1m]) > 0", "{{run}}"),
    annotation("checkpoint", "blue", f'changes(pompc_learner_checkpoints_total{{{RUN}, result="written"}}[1m]) > 0',
               "{{run}}"),
    annotation("evaluation", "green", f"changes(pompc_learner_evaluations_total{{{RUN}}}[1m]) > 0", "{{run}}"),
]


def field_config(kind, unit, options):
    defaults = {"unit": unit}
    for name, key in (("decimals", "decimals"), ("minimum", "min"), ("maximum", "max")):
        if name in options:
            defaults[key] = options[name]
    if kind == "timeseries":
        scale = {"type": "log", "log": 10} if options.get("log") else {"type": "linear"}
        stack = options.get("stack")
        defaults["custom"] = {"fillOpacity": 40 if stack else 0, "lineWidth": 1, "showPoints": "never",
                              "scaleDistribution": scale, "stacking": {"mode": "normal" if stack else "none"}}
    return {"defaults": defaults, "overrides": []}


def panel_options(kind, options):
    if kind == "stat":
        return {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "none", "graphMode": "area",
                "textMode": options.get("text", "auto")}
    if kind == "table":
        return {"showHeader": True}
    return {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}


def target(kind, index, expression, legend):
    made = {"refId": chr(ord("A") + index), "datasource": DATASOURCE, "expr": expression, "legendFormat": legend}
    if kind == "table":
        made |= {"format": "table", "instant": True}
    return made


def panel(number, place, description):
    kind, title, _, _, unit, queries, options = description
    if kind == "row":
        return {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []}
    return {"id": number, "type": kind, "title": title, "gridPos": place, "datasource": DATASOURCE,
            "fieldConfig": field_config(kind, unit, options), "options": panel_options(kind, options),
            "targets": [target(kind, i, *query) for i, query in enumerate(queries)]}


def dashboard(name, title, descriptions, has_shard):
    panels, x, y, height = [], 0, 0, 0
    for number, description in enumerate(descriptions, start=1):
        _, _, width, tall, *_ = description
        if x + width > COLUMNS or description[0] == "row":
            x, y, height = 0, y + height, 0
        panels.append(panel(number, {"x": x, "y": y, "w": width, "h": tall}, description))
        x, height = x + width, max(height, tall)
    variables = [variable("run", "label_values(pompc_learner_updates_total, run)")]
    if has_shard:
        variables.append(variable("shard", f"label_values(pompc_replay_stored_rows{{{RUN}}}, shard)"))
    return {"uid": f"pompc-{name}", "title": title, "tags": ["pompc"], "schemaVersion": 39, "version": 1,
            "editable": False, "graphTooltip": 1, "refresh": "10s", "time": {"from": "now-1h", "to": "now"},
            "timezone": "browser", "templating": {"list": variables}, "annotations": {"list": ANNOTATIONS},
            "links": [{"type": "dashboards", "title": "pompc", "tags": ["pompc"], "asDropdown": True, "keepTime": True,
                       "includeVars": True}],
            "panels": panels}


def files():
    """Path -> text of each dashboard."""
    return {FOLDER / f"{name}.json": json.dumps(dashboard(name, *description), indent=1) + "\n"
            for name, description in DASHBOARDS.items()}


def main():
    wanted = files()
    if "--check" in sys.argv[1:]:
        stale = [path.name for path in {*FOLDER.glob("*.json"), *wanted}
                 if not path.exists() or path.read_text(encoding="utf-8") != wanted.get(path)]
        if stale:
            sys.exit(f"{', '.join(sorted(stale))}: not what deploy/grafana/dashboards.py writes; run it")
        return
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
