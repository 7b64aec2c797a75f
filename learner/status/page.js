"use strict";
// Draws what status.json says (docs/status.md), every few seconds. Texts come from other processes, so they become
// text nodes and never markup.

const POLL_MS = 3000;
const SVG = "http://www.w3.org/2000/svg";
const $ = id => document.getElementById(id);

// The state of the page: the newest document, and when it came.
let run = null, arrived = 0, failure = "";

// ---- Elements.

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function shape(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

const fill = (parent, ...children) => parent.replaceChildren(...children);

// ---- Numbers for people.

const count = n => Math.round(n).toLocaleString("en-US");

function short(n) {
  const size = Math.abs(n);
  for (const [unit, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (size >= unit) return String(+(n / unit).toPrecision(3)) + letter;
  }
  return String(+n.toPrecision(3));
}

function duration(seconds) {
  const s = Math.max(0, Math.round(seconds)), h = Math.floor(s / 3600), m = Math.floor(s % 3600 / 60);
  const two = n => String(n).padStart(2, "0");
  return h > 0 ? `${h}:${two(m)}:${two(s % 60)}` : `${m}:${two(s % 60)}`;
}

// Round numbers from low to high, 1, 2 or 5 times a power of ten apart; of time, minutes and hours.
function ticks(low, high, most, units) {
  const raw = (high - low) / most;
  let step = units && units.find(unit => unit >= raw);
  if (!step) {
    const power = 10 ** Math.floor(Math.log10(raw || 1));
    step = power * ([1, 2, 5, 10].find(m => m * power >= raw) || 10);
  }
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9) * step; at <= high + step * 1e-9; at += step) found.push(at);
  return found;
}
const TIMES = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 86400];

// ---- Charts: SVG at the size at which it is shown, so that letters stay readable on a phone.

class Chart {
  constructor(parent, height, x, y, options = {}) {
    this.width = Math.max(240, parent.clientWidth || 240);
    this.height = height;
    this.left = options.left || 46;
    this.right = 10;
    this.top = options.top || 8;
    this.bottom = options.bottom === undefined ? 34 : options.bottom;
    this.x = x;
    this.y = y;
    this.svg = shape("svg", {viewBox: `0 0 ${this.width} ${height}`, height, role: "img"});
    this.svg.append(shape("title", {}, options.title || ""));
    fill(parent, this.svg);
  }
  px(value) {
    return this.left + (value - this.x[0]) / (this.x[1] - this.x[0] || 1) * (this.width - this.left - this.right);
  }
  py(value) {
    return this.height - this.bottom - (value - this.y[0]) / (this.y[1] - this.y[0] || 1) * (this.height - this.top - this.bottom);
  }
  add(name, attributes, text) {
    const made = shape(name, attributes, text);
    this.svg.append(made);
    return made;
  }
  yAxis(format, most, label) {
    for (const at of ticks(this.y[0], this.y[1], most)) {
      const y = this.py(at).toFixed(1);
      this.add("line", {class: "grid", x1: this.left, x2: this.width - this.right, y1: y, y2: y});
      this.add("text", {x: this.left - 6, y: +y + 4, "text-anchor": "end"}, format(at));
    }
    if (label) this.add("text", {class: "strong", x: this.left, y: 12}, label);
  }
  xAxis(format, label, units) {
    const bottom = this.height - this.bottom;
    this.add("line", {class: "axis", x1: this.left, x2: this.width - this.right, y1: bottom, y2: bottom});
    for (const at of ticks(this.x[0], this.x[1], Math.max(3, this.width / 85), units)) {
      const x = this.px(at), edge = this.width - this.right;
      this.add("line", {class: "axis", x1: x.toFixed(1), x2: x.toFixed(1), y1: bottom, y2: bottom + 4});
      this.add("text", {x: x.toFixed(1), y: bottom + 16, "text-anchor": x > edge - 14 ? "end" : "middle"}, format(at));
    }
    if (label) this.add("text", {x: (this.left + this.width - this.right) / 2, y: this.height - 3, "text-anchor": "middle"}, label);
  }
  // A line through the points within the chart; null breaks it.
  line(xs, ys, attributes) {
    let path = "", pen = "M";
    for (let i = 0; i < xs.length; ++i) {
      if (xs[i] === null || ys[i] === null || xs[i] > this.x[1] * (1 + 1e-9)) { pen = "M"; continue; }
      path += `${pen}${this.px(xs[i]).toFixed(1)} ${this.py(ys[i]).toFixed(1)}`;
      pen = "L";
    }
    if (path) this.add("path", {d: path, fill: "none", ...attributes});
  }
}

// A sample of a line or a colour, for legends.
function sample(attributes, block) {
  const svg = shape("svg", {viewBox: "0 0 26 10", "aria-hidden": "true"});
  svg.append(block ? shape("rect", {x: 6, y: 0, width: 14, height: 10, ...attributes})
                   : shape("path", {d: "M0 5H26", fill: "none", ...attributes}));
  return svg;
}
const entry = (attributes, text, block) => element("span", {}, sample(attributes, block), text);

// ---- The learning curve.

const METHODS = ["--ink", "--c1", "--c6", "--c2", "--c3", "--c7", "--c5"];
const DASHES = ["9 4", "2 3", "9 3 2 3", "5 3", "14 4", "6 2 2 2 2 2"];
const looks = index => ({stroke: `var(${METHODS[index % METHODS.length]})`, "stroke-width": 1.4,
                         "stroke-dasharray": DASHES[index % DASHES.length]});
const AXES = {frames: "frames (control steps of the environment)", rows: "decisions of the agent (rows)",
              seconds: "time of the run (h:mm:ss)", updates: "updates of the learner"};

function scaled(series, axis) {
  if (axis === "frames") return series.rows.map(n => n * run.run.action_repeat);
  return series[axis] || [];
}

// Published curves over the axis, in a straight line to `end` where that lies between two points.
function references(axis, end) {
  if (axis !== "frames" && axis !== "rows") return [];
  const scale = axis === "frames" ? 1 : 1 / run.run.action_repeat;
  return run.references.curves.map(curve => {
    const xs = curve.frames.map(n => n * scale), at = xs.findIndex(x => x > end);
    if (at < 0) return {...curve, xs, ys: curve.return_mean};
    const ys = curve.return_mean.slice(0, at), kept = xs.slice(0, at);
    if (at > 0) {
      const part = (end - xs[at - 1]) / (xs[at] - xs[at - 1]);
      kept.push(end);
      ys.push(curve.return_mean[at - 1] + part * (curve.return_mean[at] - curve.return_mean[at - 1]));
    }
    return {...curve, xs: kept, ys};
  });
}

function nothingYet() {
  const every = run.evaluations.every_rows ? `every ${count(run.evaluations.every_rows)} rows`
    : run.evaluations.every_updates ? `every ${count(run.evaluations.every_updates)} updates` : "";
  return every ? `No evaluation yet: one is made ${every} once the seed phase is over.` : "This run makes no evaluations.";
}

function drawCurve() {
  const axis = $("axis").value, evaluated = run.evaluations, training = run.training;
  const xs = scaled(evaluated, axis), trained = scaled(training, axis);
  const numbers = [...xs, ...trained].filter(Number.isFinite);
  const whole = $("whole-reference").checked && (axis === "frames" || axis === "rows");
  const scale = axis === "frames" ? 1 : 1 / run.run.action_repeat;
  let end = numbers.reduce((most, x) => Math.max(most, x), 0);
  // Before the first return the chart shows what is to come: the run up to its limit, if it has one.
  if (end === 0 && run.run.max_rows && !whole) end = run.run.max_rows * (axis in {frames: 1, rows: 1} ? scale * run.run.action_repeat : 0);
  if (whole || end === 0) {
    for (const curve of run.references.curves) end = Math.max(end, (curve.frames.at(-1) || 0) * (axis in {frames: 1, rows: 1} ? scale : 0));
  }
  const lines = references(axis, end);
  const legend = $("curve-legend"), note = $("curve-note");
  note.textContent = evaluated.total === 0 ? nothingYet()
    : run.references.note && axis !== "seconds" && axis !== "updates" ? `No published curve is shown: ${run.references.note}.` : "";
  if (end === 0) {
    fill(legend);
    fill($("curve"), element("p", {class: "empty"}, axis === "seconds" && evaluated.total > 0
      ? "A LOCKSTEP run keeps no times of its evaluations." : "No episode has ended yet."));
    return;
  }
  const values = [...evaluated.return_min, ...evaluated.return_max, ...training.return_mean, run.run.goal_return || 0,
                  ...lines.flatMap(line => line.ys)].filter(Number.isFinite);
  const low = Math.min(0, ...values), high = Math.max(low + 1, ...values);
  const chart = new Chart($("curve"), 320, [0, end], [low, high + (high - low) * 0.04], {title: "return over " + axis, top: 22});
  chart.yAxis(short, 6, "return of an episode");
  chart.xAxis(axis === "seconds" ? duration : short, AXES[axis], axis === "seconds" ? TIMES : null);
  const shown = [];
  for (const line of lines) {
    chart.line(line.xs, line.ys, looks(line.index));
    shown.push(entry(looks(line.index), line.method));
  }
  if (run.run.goal_return) {
    const goal = {stroke: "var(--ink)", "stroke-width": 1, "stroke-dasharray": "1 4"};
    chart.line([0, end], [run.run.goal_return, run.run.goal_return], goal);
    shown.unshift(entry(goal, `goal ${run.run.goal_return}`));
  }
  if (trained.length) {
    const look = {stroke: "var(--c4)", "stroke-width": 1.3};
    chart.line(trained, training.return_mean, look);
    // A line needs two points, and the first ones are worth seeing.
    for (let i = 0; i < trained.length && trained.length < 10; ++i) {
      chart.add("circle", {cx: chart.px(trained[i]).toFixed(1), cy: chart.py(training.return_mean[i]).toFixed(1), r: 2, fill: "var(--c4)"});
    }
    const most = Math.max(...training.episodes);
    shown.unshift(entry(look, most > 1 ? `training, mean of ${most} episodes` : "training episodes"));
  }
  if (xs.length) {
    drawEvaluations(chart, xs, evaluated);
    shown.unshift(entry({stroke: "var(--c0)", "stroke-width": 2.5}, "evaluations, mean and 95 % interval"));
  }
  fill(legend, ...shown);
}

function drawEvaluations(chart, xs, evaluated) {
  const means = evaluated.return_mean, widths = evaluated.return_ci95;
  const upper = [], lower = [];
  for (let i = 0; i < xs.length; ++i) {
    if (means[i] === null || widths[i] === null) continue;
    upper.push(`${chart.px(xs[i]).toFixed(1)} ${chart.py(Math.min(chart.y[1], means[i] + widths[i])).toFixed(1)}`);
    lower.unshift(`${chart.px(xs[i]).toFixed(1)} ${chart.py(Math.max(chart.y[0], means[i] - widths[i])).toFixed(1)}`);
  }
  if (upper.length) chart.add("path", {d: `M${upper.concat(lower).join("L")}Z`, fill: "var(--c0)", opacity: 0.18});
  chart.line(xs, means, {stroke: "var(--c0)", "stroke-width": 2.5});
  for (let i = 0; i < xs.length && xs.length <= 100; ++i) {
    if (means[i] === null) continue;
    const point = chart.add("circle", {cx: chart.px(xs[i]).toFixed(1), cy: chart.py(means[i]).toFixed(1), r: 3, fill: "var(--c0)"});
    const width = widths[i] === null ? "" : ` ± ${short(widths[i])}`;
    point.append(shape("title", {}, `${means[i]}${width} at ${count(evaluated.rows[i])} rows, ${count(evaluated.updates[i])} updates`));
  }
}

// ---- Rates, and who waits.

const RATES = [["rows_per_second", "rows/s: decisions that replay accepted", "--c0"],
               ["updates_per_second", "updates/s of the learner", "--c1"],
               ["plans_per_second", "plans/s: accepted rows with a plan", "--c2"]];

function timeAxis(chart, labelled) {
  chart.xAxis(duration, labelled ? "time of the run (h:mm:ss)" : "", TIMES);
}

// Draws into boxes below `parent` that stay the same elements, so that nothing jumps.
function boxes(parent, n) {
  while (parent.children.length < n) parent.append(element("div", {class: "chart"}));
  return [...parent.children];
}

function drawRates() {
  const history = run[$("rates-span").value], parent = $("rates");
  if (history.seconds.length < 2) return fill(parent, element("p", {class: "empty"}, "Rates appear after some seconds."));
  if (parent.querySelector(".empty")) fill(parent);
  const places = boxes(parent, RATES.length);
  RATES.forEach(([name, label, color], i) => {
    const last = i === RATES.length - 1, rates = history[name];
    const top = Math.max(...rates, 1);
    const chart = new Chart(places[i], last ? 142 : 126, [history.seconds[0], history.seconds.at(-1)], [0, top * 1.08],
                            {top: 24, bottom: last ? 34 : 24, title: label});
    chart.yAxis(short, 4, label);
    timeAxis(chart, last);
    chart.add("path", {d: stepped(chart, history.seconds, rates), fill: "none", stroke: `var(${color})`, "stroke-width": 1.8});
  });
}

// A rate stands for its interval: a line of steps.
function stepped(chart, seconds, rates) {
  return rates.map((rate, i) => `${i ? "L" : "M"}${chart.px(seconds[i]).toFixed(1)} ${chart.py(rate).toFixed(1)}H${
    chart.px(seconds[i + 1]).toFixed(1)}`).join("");
}

const LEARNER = {
  updating: ["makes updates", "--c0"], publishing: ["publishes parameters", "--c5"],
  checkpointing: ["writes checkpoints", "--c2"], waiting_for_data: ["waits for batches of the shards", "--c4"],
  seed_rows: ["waits for rows: seed phase", "--c6"], ratio: ["waits for rows: actors are slower", "--c1"],
  min_rows: ["waits for replay to fill", "--c7"], no_window: ["waits for windows", "--c3"],
  evaluation: ["waits for evaluations", "--c3"], shards: ["waits for shards", "--c7"], ended: ["has ended", "--line"],
};
const WRITERS = {
  pretraining: ["held back: the learner pretrains", "--c6"], ratio: ["held back: the learner is slower", "--c1"],
  min_rows: ["held back: replay is refilled", "--c7"], no_window: ["held back: replay has no window", "--c3"],
  shards: ["held back by shards", "--c4"], all_rows: ["held back: the run has all its rows", "--c5"],
  run_over: ["held back: the run is over", "--line"],
};

function stacks(place, seconds, title, parts, labelled) {
  const box = element("div", {class: "chart"}), legend = element("div", {class: "legend"});
  fill(place, element("h3", {}, title), box, legend);
  const chart = new Chart(box, labelled ? 104 : 88, [seconds[0], seconds.at(-1)], [0, 1], {bottom: labelled ? 34 : 20, title});
  chart.yAxis(share => `${Math.round(share * 100)} %`, 2);
  const base = new Array(seconds.length - 1).fill(0), time = seconds.at(-1) - seconds[0];
  for (const [text, color, share] of parts) {
    let path = "", sum = 0;
    for (let i = 0; i < base.length; ++i) {
      const part = Math.min(share[i] || 0, 1 - base[i]);
      sum += part * (seconds[i + 1] - seconds[i]);
      if (part <= 0) continue;
      path += `M${chart.px(seconds[i]).toFixed(1)} ${chart.py(base[i]).toFixed(1)}V${chart.py(base[i] + part).toFixed(1)}H${
        chart.px(seconds[i + 1]).toFixed(1)}V${chart.py(base[i]).toFixed(1)}Z`;
      base[i] += part;
    }
    if (!path) continue;
    chart.add("path", {d: path, fill: `var(${color})`});
    legend.append(entry({fill: `var(${color})`}, `${text} ${Math.round(sum / time * 100)} %`, true));
  }
  timeAxis(chart, labelled);
}

function drawWaits() {
  const history = run[$("waits-span").value], parent = $("waits"), seconds = history.seconds;
  if (seconds.length < 2) return fill(parent, element("p", {class: "empty"}, "Shares appear after some seconds."));
  if (parent.querySelector(".empty")) fill(parent);
  const places = boxes(parent, 3);
  // In the order of the words, from the bottom up, so that the work lies below the waits.
  const named = (words, list) => {
    const order = Object.keys(words), place = ({name}) => order.includes(name) ? order.indexOf(name) : order.length;
    return [...list].sort((a, b) => place(a) - place(b)).map(({name, share}) => [...(words[name] || [name, "--c6"]), share]);
  };
  stacks(places[0], seconds, "Learner: what its training thread does", named(LEARNER, history.learner));
  const held = named(WRITERS, history.writers_held);
  const free = seconds.slice(1).map((_, i) => Math.max(0, 1 - held.reduce((sum, part) => sum + part[2][i], 0)));
  stacks(places[1], seconds, "Writers of rows: whether shards hold one back", [["none is held back", "--c0", free], ...held]);
  const waiting = history.actors_waiting;
  stacks(places[2], seconds, "Actors: share of them that report a wait", [
    ["work", "--c0", waiting.map(share => share === null ? 0 : 1 - share)], ["wait", "--c1", waiting.map(share => share || 0)]], true);
}

// ---- Processes.

const MARKS = {ok: "✓", waiting: "…", trouble: "✕", ended: "–"};
const SHOWN_PROCESSES = 12;
const WORSE = ["ended", "ok", "waiting", "trouble"];
const mark = health => element("span", {class: "mark", title: health, role: "img", "aria-label": health}, MARKS[health] || "?");

function node(title, role, text) {
  const alive = run.health_counts.filter(one => one.role === role && one.health !== "ended");
  const number = alive.reduce((sum, one) => sum + one.count, 0);
  const health = alive.reduce((worst, one) => WORSE.indexOf(one.health) > WORSE.indexOf(worst) ? one.health : worst, "ended");
  return element("div", {class: `node h-${health}`}, element("b", {}, mark(health), `${count(number)} ${number === 1 ? title : title + "s"}`),
                 element("small", {}, text));
}

function drawProcesses() {
  const arrow = text => element("div", {class: "arrow"}, element("i", {}, "→"), text);
  const counts = run.counts, evaluations = run.evaluations.total;
  const offline = run.run.schedule === "OFFLINE";
  const stored = run.replay.shards.reduce((sum, shard) => sum + shard.stored_rows, 0);
  fill($("flow"),
       ...(offline ? [] : [node("planner", "planner", `${short(counts.plans_per_second)} plans/s, version ${run.run.version}`), arrow("plans"),
                           node("actor", "actor", `${count(counts.episodes)} episodes`), arrow(`${short(counts.rows_per_second)} rows/s`)]),
       node("replay shard", "shard", `${count(stored)} rows stored`), arrow("batches"),
       node("learner", "learner", `${short(counts.updates_per_second)} updates/s`), arrow("versions"),
       node("evaluator", "evaluator", `${count(evaluations)} ${evaluations === 1 ? "evaluation" : "evaluations"}`));
  // Those that need a look come first, and a fleet of healthy ones does not fill the page.
  const sorted = [...run.processes].sort((a, b) => WORSE.indexOf(b.health) - WORSE.indexOf(a.health));
  fill($("processes"), ...sorted.slice(0, SHOWN_PROCESSES).map(process));
  const more = sorted.slice(SHOWN_PROCESSES);
  $("more-processes").hidden = more.length === 0;
  $("more-title").textContent = `${more.length} more`;
  fill($("more-list"), ...more.map(process));
}

function process(one) {
  const title = one.index === null || one.role === "learner" ? one.role : `${one.role} ${one.index}`;
  const where = [one.name, one.address].filter(text => text && text !== one.role).join(", ");
  return element("div", {class: `process h-${one.health}`},
                 element("div", {class: "who"}, mark(one.health), title, where ? ` · ${where}` : ""),
                 element("div", {class: "detail", title: one.detail}, one.detail));
}

// ---- The rest.

function drawTiles() {
  const {counts, evaluations} = run, best = evaluations.best;
  const last = evaluations.return_mean.at(-1);
  const time = run.run.remaining_seconds > 0 ? `at most ${duration(run.run.remaining_seconds)} left` : "";
  const tiles = [
    ["best return", best ? short(best.return_mean) : "–", best ? `at ${count(best.rows || best.updates)} ${best.rows ? "rows" : "updates"}` : "no evaluation yet"],
    ["last evaluation", Number.isFinite(last) ? short(last) : "–", evaluations.total ? `of ${count(evaluations.total)}` : ""],
    ["rows", count(counts.rows), `${count(counts.frames)} frames, ${short(counts.rows_per_second)}/s`],
    ["updates", count(counts.updates), `${short(counts.updates_per_second)}/s`],
    ["episodes", count(counts.episodes), `${short(counts.plans_per_second)} plans/s`],
    ["time", duration(run.run.elapsed_seconds), time]];
  fill($("tiles"), ...tiles.map(([label, value, more]) => element("div", {class: "tile"},
    element("div", {class: "label"}, label), element("div", {class: "value"}, value), element("div", {class: "more"}, more))));
}

function drawHead() {
  const {id, task, seed, schedule, phase, over_reason: over, run_dir: folder} = run.run;
  $("task").textContent = task;
  const over_phase = phase === "FINISHED" || phase === "STOPPING";
  $("phase").textContent = phase;
  $("phase").className = `badge ${over_phase ? "ended" : "ok"}`;
  $("subtitle").textContent = `seed ${seed}${schedule === "CONCURRENT" ? "" : ", " + schedule} · run ${id} · ${folder}`;
  document.title = `${task}: ${phase}`;
  const banners = [];
  const say = (text, kind) => banners.push(element("p", {class: `banner ${kind}`}, text));
  if (failure) say(failure, "trouble");
  if (over) say(over, "");
  if (run.run.checkpoint_error) say(`No checkpoint could be written for ${duration(run.run.checkpoint_failing_seconds)}: ${run.run.checkpoint_error}`, "trouble");
  if (run.run.waiting && !over_phase) say(run.run.waiting, "");
  fill($("banners"), ...banners);
}

function drawReplay() {
  const shards = run.replay.shards;
  fill($("replay"), ...shards.map(shard => {
    const part = shard.capacity_rows ? shard.stored_rows / shard.capacity_rows : 0;
    const bar = element("div", {});
    bar.style.width = `${(Math.min(1, part) * 100).toFixed(2)}%`;
    const held = shard.held_writers ? `, holds back ${shard.held_writers} ${shard.held_writers === 1 ? "writer" : "writers"}` : "";
    return element("div", {class: shard.reachable ? "fill" : "fill trouble"},
      element("div", {}, `shard ${shard.index}${shard.reachable ? "" : ": unreachable"}`),
      element("div", {class: "bar", role: "img", "aria-label": `${Math.round(part * 100)} % full`}, bar),
      element("small", {}, `${count(shard.stored_rows)} of ${count(shard.capacity_rows)} rows (${(part * 100).toFixed(part < 0.1 ? 1 : 0)} %), ${
        count(shard.windows)} windows${held}`));
  }));
  if (!shards.some(shard => shard.stored_rows)) $("replay").append(element("p", {class: "note"}, `Replay is empty. Updates need ${count(run.replay.min_rows)} rows.`));
}

function drawLog() {
  const only = $("warnings-only").checked, lines = only ? run.warnings : run.log;
  if (lines.length === 0) return fill($("log"), element("li", {class: "empty"}, only ? "No warnings." : "Nothing was logged yet."));
  fill($("log"), ...[...lines].reverse().map(line => {
    const at = new Date(line.time);
    return element("li", {class: line.level}, element("time", {datetime: line.time, title: line.time}, at.toLocaleTimeString("en-GB")),
                   element("span", {class: "level"}, line.level === "info" ? "" : line.level + " "), line.text);
  }));
}

// A player is made only for a new film: one that is being watched goes on.
function drawVideos() {
  const key = JSON.stringify(run.videos), parent = $("videos");
  if (parent.dataset.key === key) return;
  parent.dataset.key = key;
  $("videos-card").hidden = run.videos.length === 0;
  fill(parent, ...run.videos.map(video => element("figure", {},
    video.type.startsWith("image/") ? element("img", {src: video.path, alt: video.name})
                                    : element("video", {src: video.path, controls: "", muted: "", loop: "", preload: "metadata"}),
    element("figcaption", {}, video.name))));
}

function draw() {
  if (run === null) return;
  const tables = $("tables");
  if ($("live").hidden) {
    $("live").hidden = false;
    tables.open = false;
    if (run.run.schedule === "OFFLINE") $("axis").value = "updates";
  }
  for (const part of [drawHead, drawTiles, drawCurve, drawProcesses, drawRates, drawWaits, drawReplay, drawLog, drawVideos]) part();
  document.body.dataset.drawn = run.time;
  tick();
}

function tick() {
  if (arrived) $("updated").textContent = failure || `updated ${Math.round((Date.now() - arrived) / 1000)} s ago`;
}

// The server's tables are as old as the page, so they are asked for again while somebody looks at them.
async function refreshTables() {
  if (!$("tables").open || $("live").hidden) return;
  const reply = await fetch(location.href, {signal: AbortSignal.timeout(10000)});
  const page = new DOMParser().parseFromString(await reply.text(), "text/html");
  const fresh = page.getElementById("tables-body");
  if (fresh) fill($("tables-body"), ...fresh.childNodes);
}

async function poll() {
  if (!document.hidden || run === null) {
    try {
      // What was behind the page's address (a token, say) is behind the document's too.
      const reply = await fetch("status.json" + location.search, {signal: AbortSignal.timeout(10000), cache: "no-store"});
      if (!reply.ok) throw new Error(`status ${reply.status}`);
      const next = await reply.json();
      if (next.format !== 1) throw new Error(`status.json has format ${next.format}; reload this page`);
      failure = "";
      run = next;
      arrived = Date.now();
      await refreshTables();
    } catch (error) {
      failure = `No answer from the learner (${error.message}); asking again. ${run ? `What you see is from ${new Date(run.time).toLocaleTimeString("en-GB")}.` : ""}`;
    }
    draw();
  }
  setTimeout(poll, POLL_MS);
}

for (const id of ["axis", "whole-reference", "rates-span", "waits-span", "warnings-only"]) $(id).addEventListener("change", draw);
$("tables").addEventListener("toggle", () => refreshTables().catch(() => {}));
let resized = 0;
addEventListener("resize", () => { clearTimeout(resized); resized = setTimeout(draw, 100); });
document.addEventListener("visibilitychange", () => { if (!document.hidden) draw(); });
setInterval(tick, 1000);
poll();
