"""The cases of promtool for deploy/prometheus/alerts.yml: what a healthy run serves, and for each alert how that changes
when the alert is to fire. In each case two runs share the Prometheus; only "a" is ever unwell, and no other alert than
those of the case may fire."""

# Served by processes that have certificates alone, so that a run without them has no such series.
MADE_ELSEWHERE = {"pompc_certificate_expiry_timestamp_seconds"}

INTERVAL_SECONDS = 30
# Samples of each series: an hour and a half.
SAMPLES = 180


def constant(value):
    return f"{value}x{SAMPLES}"


def rising(each_sample, start=0):
    """`start`, and so much more with each sample."""
    return f"{start}{each_sample:+}x{SAMPLES}"


def turns_to(before, after, sample):
    """`before` for so many samples, then `after`."""
    return f"{before}x{sample} {after}x{SAMPLES - sample}"


def latency_buckets(run, slow):
    """Series of the plan latency of a run of which the share `slow` of 100 plans takes two to five seconds."""
    name = "pompc_actor_plan_latency_seconds_bucket"
    return {f'{name}{{run="{run}", role="actor", le="{bound}"}}': rising(count)
            for bound, count in (("0.1", 100 - slow), ("2", 100 - slow), ("5", 100), ("+Inf", 100))}


def healthy(run):
    """Series -> values of a run that trains, with a shard that keeps rows on disk."""
    learner, shard, planner = f'run="{run}"', f'run="{run}", shard="0"', f'job="planner", instance="p-{run}:9100", run="{run}"'
    return {
        f'pompc_learner_updates_total{{{learner}}}': rising(150),
        f'pompc_learner_phase_active{{{learner}, phase="SEED"}}': constant(0),
        f'pompc_learner_phase_active{{{learner}, phase="TRAINING"}}': constant(1),
        f'pompc_learner_phase_active{{{learner}, phase="FINISHED"}}': constant(0),
        f'pompc_learner_expected_actors{{{learner}}}': constant(4),
        f'pompc_learner_leases{{{learner}, role="actor"}}': constant(4),
        f'pompc_learner_leases{{{learner}, role="evaluator"}}': constant(1),
        f'pompc_learner_subscriber_behind_seconds{{{learner}}}': constant(0.5),
        f'pompc_learner_shard_reachable{{{learner}, shard="0"}}': constant(1),
        f'pompc_learner_restorations_total{{{learner}, loss="model"}}': constant(0),
        f'pompc_learner_checkpoints_total{{{learner}, result="written"}}': rising(1),
        f'pompc_learner_checkpoints_total{{{learner}, result="failed"}}': constant(0),
        f'pompc_learner_checkpoint_age_seconds{{{learner}}}': constant(60),
        f'pompc_learner_dropped_evaluations_total{{{learner}}}': constant(0),
        f'pompc_learner_disk_free_bytes{{{learner}}}': constant(500e9),
        f'pompc_learner_disk_bytes{{{learner}}}': constant(1e12),
        f'pompc_learner_state_seconds_total{{{learner}, state="updating"}}': rising(12),
        f'pompc_learner_state_seconds_total{{{learner}, state="waiting_for_rows"}}': rising(3),
        f'pompc_replay_accepted_rows_total{{{shard}}}': rising(300),
        f'pompc_replay_streams{{{shard}}}': constant(4),
        f'pompc_replay_blocked_streams{{{shard}, reason="grant"}}': constant(4),
        f'pompc_replay_blocked_streams{{{shard}, reason="store"}}': constant(0),
        f'pompc_replay_stored_rows{{{shard}}}': rising(10, 5000),
        f'pompc_replay_capacity_rows{{{shard}}}': constant(100000),
        f'pompc_replay_store_failing{{{shard}}}': constant(0),
        f'pompc_replay_store_commits_total{{{shard}}}': rising(30),
        f'pompc_replay_store_commit_seconds_total{{{shard}}}': rising(0.3),
        f'pompc_replay_disk_free_bytes{{{shard}}}': rising(-1e6, 500e9),
        f'pompc_replay_disk_bytes{{{shard}}}': constant(1e12),
        f'pompc_replay_state_seconds_total{{{shard}, state="inserting"}}': rising(3),
        f'pompc_replay_state_seconds_total{{{shard}, state="blocked"}}': rising(12),
        f'pompc_planner_plans_total{{{planner}}}': rising(300),
        f'pompc_planner_unplanned_requests_total{{{planner}, reason="refused"}}': rising(1),
        f'pompc_planner_unplanned_requests_total{{{planner}, reason="expired"}}': constant(0),
        f'pompc_planner_learner_connected{{{planner}}}': constant(1),
        f'pompc_actor_rows_total{{{learner}, role="actor", phase="planned"}}': rising(300),
        f'pompc_actor_plan_failures_total{{{learner}, role="actor"}}': rising(1),
        f'pompc_actor_refused_episodes_total{{{learner}, role="actor"}}': constant(0),
        **latency_buckets(run, slow=0),
    }


PROCESSES = {
    'up{job="planner", instance="p-a:9100"}': constant(1),
    'process_open_fds{job="replay", instance="r-a:9100"}': constant(500),
    'process_max_fds{job="replay", instance="r-a:9100"}': constant(1024),
    # A year from now.
    'pompc_certificate_expiry_timestamp_seconds{job="replay", instance="r-a:9100"}': constant(365 * 86400),
}

A, SHARD = {"run": "a"}, {"run": "a", "shard": "0"}
PLANNER = {"job": "planner", "instance": "p-a:9100"}
REPLAY = {"job": "replay", "instance": "r-a:9100"}
NOT_ACTIVE = {'pompc_learner_phase_active{run="a", phase="TRAINING"}': constant(0),
              'pompc_learner_phase_active{run="a", phase="FINISHED"}': constant(1)}
NO_UPDATES = {'pompc_learner_updates_total{run="a"}': constant(500)}
NO_ROWS = {'pompc_replay_accepted_rows_total{run="a", shard="0"}': constant(900)}
LEARNER_SERIES = [series for series in healthy("a") if series.startswith("pompc_learner_")]

NO_NUMBERS = " ".join(["NaN"] * SAMPLES)

# (what happens to run "a", series that are otherwise, minutes after which it is looked at, alerts that fire then with
# their labels). A series without values does not exist.
CASES = [
    ("nothing", {}, 80, []),
    ("it has finished: actors are gone, shards and learner still answer",
     {**NOT_ACTIVE, **NO_UPDATES, **NO_ROWS, 'pompc_learner_leases{run="a", role="actor"}': constant(0),
      'pompc_replay_streams{run="a", shard="0"}': constant(0)}, 20, []),
    ("the learner makes no update, and holds all writers back", {**NO_UPDATES, **NO_ROWS}, 10,
     [("LearnerStalled", A), ("NoFreshData", A), ("ReplayBlocked", SHARD)]),
    ("the learner is gone while actors write", dict.fromkeys(LEARNER_SERIES), 10, [("LearnerStalled", A)]),
    ("the learner is gone and its grants are used up", {**dict.fromkeys(LEARNER_SERIES), **NO_ROWS}, 10,
     [("LearnerStalled", A), ("ReplayBlocked", SHARD)]),
    ("the learner pretrains while it holds writers back",
     {**NO_ROWS, 'pompc_learner_phase_active{run="a", phase="TRAINING"}': constant(0),
      'pompc_learner_phase_active{run="a", phase="SEED"}': constant(1)}, 10, [("NoFreshData", A)]),
    ("it learns offline", {**NO_ROWS, 'pompc_learner_expected_actors{run="a"}': constant(0),
                           'pompc_learner_leases{run="a", role="actor"}': constant(0)}, 10, []),
    ("plans take seconds", latency_buckets("a", slow=5), 15, [("PlannerLatencyHigh", A)]),
    ("planners turn requests away",
     {'pompc_planner_unplanned_requests_total{job="planner", instance="p-a:9100", run="a", reason="refused"}':
      rising(30)}, 15, [("PlannerRefusing", A)]),
    ("plans fail", {'pompc_actor_plan_failures_total{run="a", role="actor"}': rising(30)}, 15, [("PlansFail", A)]),
    ("a planner has lost the learner",
     {'pompc_planner_learner_connected{job="planner", instance="p-a:9100", run="a"}': constant(0)}, 10,
     [("PlannerOutOfTouch", {**PLANNER, **A})]),
    ("parameters arrive late", {'pompc_learner_subscriber_behind_seconds{run="a"}': constant(45)}, 10,
     [("PolicyLagHigh", A)]),
    ("a shard fills up", {'pompc_replay_stored_rows{run="a", shard="0"}': rising(20, 90500)}, 30,
     [("ReplayNearCapacity", SHARD)]),
    ("a shard is full", {'pompc_replay_stored_rows{run="a", shard="0"}': constant(100000)}, 30, []),
    ("a shard cannot write", {'pompc_replay_store_failing{run="a", shard="0"}': constant(1)}, 5,
     [("RowsNotWritten", SHARD)]),
    ("a disk is slow", {'pompc_replay_store_commit_seconds_total{run="a", shard="0"}': rising(14),
                        'pompc_replay_store_commits_total{run="a", shard="0"}': rising(10)}, 15,
     [("CommitSlow", SHARD)]),
    ("a disk hangs", {'pompc_replay_store_commit_seconds_total{run="a", shard="0"}': rising(15),
                      'pompc_replay_store_commits_total{run="a", shard="0"}': constant(70)}, 15,
     [("CommitSlow", SHARD)]),
    ("the disk of a shard is nearly full", {'pompc_replay_disk_free_bytes{run="a", shard="0"}': constant(20e9)}, 15,
     [("DiskFilling", SHARD)]),
    ("the disk of the run directory will be full in an hour",
     {'pompc_learner_disk_free_bytes{run="a"}': rising(-2e9, 700e9)}, 80, [("DiskFilling", A)]),
    ("rows live in memory alone", {'pompc_replay_disk_free_bytes{run="a", shard="0"}': NO_NUMBERS,
                                   'pompc_replay_disk_bytes{run="a", shard="0"}': NO_NUMBERS}, 15, []),
    ("a shard does not answer", {'pompc_learner_shard_reachable{run="a", shard="0"}': constant(0)}, 5,
     [("ShardUnreachable", SHARD)]),
    ("an actor is missing", {'pompc_learner_leases{run="a", role="actor"}': constant(3)}, 5, [("ActorsMissing", A)]),
    ("replay refuses episodes", {'pompc_actor_refused_episodes_total{run="a", role="actor"}': rising(1)}, 20,
     [("EpisodesAreRefused", A)]),
    ("actors are too many", {'pompc_replay_state_seconds_total{run="a", shard="0", state="blocked"}': rising(300)}, 30,
     [("ActorsAreHeld", A)]),
    ("actors are too few", {'pompc_learner_state_seconds_total{run="a", state="waiting_for_rows"}': rising(300)}, 30,
     [("LearnerStarves", A)]),
    ("a loss is not finite", {'pompc_learner_restorations_total{run="a", loss="model"}': turns_to(0, 1, 12)}, 7,
     [("UpdatesFail", A)]),
    ("a checkpoint is not written",
     {'pompc_learner_checkpoints_total{run="a", result="failed"}': turns_to(0, 1, 12)}, 7, [("CheckpointsFail", A)]),
    ("checkpoints are too rare", {'pompc_learner_checkpoint_age_seconds{run="a"}': constant(4000)}, 15,
     [("CheckpointOld", A)]),
    ("an evaluation is given up", {'pompc_learner_dropped_evaluations_total{run="a"}': turns_to(0, 1, 12)}, 7,
     [("EvaluationDropped", A)]),
    ("descriptors run out", {'process_open_fds{job="replay", instance="r-a:9100"}': constant(700)}, 5,
     [("DescriptorsRunOut", REPLAY)]),
    ("descriptors run out under a high limit",
     {'process_open_fds{job="replay", instance="r-a:9100"}': constant(12000),
      'process_max_fds{job="replay", instance="r-a:9100"}': constant(1048576)}, 5, [("DescriptorsRunOut", REPLAY)]),
    ("a certificate expires in five days",
     {'pompc_certificate_expiry_timestamp_seconds{job="replay", instance="r-a:9100"}': constant(5 * 86400)}, 5,
     [("CertificateExpires", REPLAY)]),
    ("a process is down", {'up{job="planner", instance="p-a:9100"}': constant(0)}, 5, [("TargetDown", PLANNER)]),
]


def promtool_tests(rule_files, severities):
    """What promtool test rules reads, as an object: each case fires its alerts and no others but Watchdog."""
    tests = []
    for name, changes, minutes, fires in CASES:
        series = {**healthy("a"), **healthy("b"), **PROCESSES}
        unknown = changes.keys() - series.keys()
        assert not unknown, f"{name}: {unknown}"
        series.update(changes)
        firing = [("Watchdog", {}), *fires]
        samples = [{"labels": labels_text(alert, labels, severities[alert]), "value": 1} for alert, labels in firing]
        tests.append({
            "name": name, "interval": f"{INTERVAL_SECONDS}s",
            "input_series": [{"series": key, "values": values} for key, values in series.items() if values],
            "promql_expr_test": [{"expr": 'ALERTS{alertstate="firing"}', "eval_time": f"{minutes}m",
                                  "exp_samples": samples}]})
    return {"rule_files": rule_files, "evaluation_interval": f"{INTERVAL_SECONDS}s", "tests": tests}


def labels_text(alert, labels, severity):
    labels = {"alertname": alert, "alertstate": "firing", "severity": severity, **labels}
    return "ALERTS{" + ", ".join(f'{name}="{value}"' for name, value in labels.items()) + "}"
