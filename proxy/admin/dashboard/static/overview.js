// What happens now.

import { $, figure, h, rows, show, text } from "./dom.js";
import { ago, bytes, joined, numbered, percent, rate, seconds, span, whole } from "./format.js";

const OUTCOMES = ["hit", "stale", "revalidated", "collapsed", "miss", "bypass", "error", "refused"];
const STATES = { up: "up", down: "down", half_open: "trying", slow_start: "warming", draining: "leaving" };

export function render(stats, rates, look) {
  tiles(stats, rates);
  outcomes(stats.requests);
  urls(stats.urls, look);
  routes(rates?.routes ?? [], stats.totals.routes);
  store(stats);
  origins(stats.origins);
  purges(stats.purges, rates?.at ?? Date.now() / 1000);
  text("node", stats.node);
  $("node").title = stats.node;
  text("uptime", `· up for ${span(stats.uptime)}`);
}

function tiles(stats, rates) {
  const { totals } = stats;
  figure("hit-ratio", percent(rates?.hit_ratio));
  text("hit-ratio-note", `${joined(percent(totals.requests ? totals.from_store / totals.requests : null))} since the start`);
  figure("requests", rate(rates?.requests));
  text("requests-note", `${whole(totals.requests)} in all`);
  figure("origin", rate(rates?.origin));
  text("origin-note", `${whole(totals.origin)} in all`);
  time("hit-time", rates?.durations.hit);
  time("origin-time", rates?.durations.origin);
  const [saved, unit] = bytes(rates?.saved);
  figure("saved", [saved, unit && `${unit}/s`]);
  text("saved-note", `${joined(bytes(totals.saved))} of ${joined(bytes(totals.sent))}`);
}

function time(id, durations) {
  figure(id, seconds(durations?.p95));
  text(`${id}-note`, durations?.median == null ? "none of late" : `median ${joined(seconds(durations.median))}`);
}

function outcomes(requests) {
  const counts = OUTCOMES.map((name) => [name, requests[name] ?? 0]);
  const total = counts.reduce((sum, [, count]) => sum + count, 0);
  const bar = h("div", { class: "bar", role: "img", "aria-label": "Shares of the outcomes" });
  for (const [name, count] of counts) {
    if (!count) continue;
    const part = h("span", { class: `dot ${name}`, title: name });
    part.style.cssText = "";
    part.style.flex = `${count} 0 0`;
    part.style.height = "100%";
    part.style.borderRadius = "0";
    bar.append(part);
  }
  const list = counts
    .filter(([name, count]) => count || ["hit", "miss"].includes(name))
    .map(([name, count]) =>
      h("li", {}, h("span", { class: `dot ${name}` }), name, h("b", {}, whole(count)),
        h("span", { class: "pct" }, total ? `${((100 * count) / total).toFixed(1)}%` : "–")),
    );
  show("outcomes", bar, h("ul", { class: "legend" }, ...list));
}

function urls(found, look) {
  rows(
    $("urls").tBodies[0],
    found.slice(0, 10).map((one) => [
      h("td", { class: "long" }, h("button", { type: "button", class: "link", title: one.url, "data-url": one.url }, one.url.replace(/^https?:\/\//, ""))),
      h("td", { class: "n" }, whole(one.hits)),
      h("td", { class: "n" }, joined(bytes(one.size))),
    ]),
    "Nothing in memory has been asked for again yet.",
  );
  $("urls").onclick = (event) => {
    const { url } = event.target.dataset;
    if (url) look(url);
  };
}

function routes(found, totals) {
  rows(
    $("routes").tBodies[0],
    found.slice(0, 10).map((one) => [
      h("td", { class: "mono long", title: one.name }, one.name),
      h("td", { class: "n" }, one.requests.toFixed(1)),
      h("td", { class: "n" }, joined(percent(one.hit_ratio))),
      h("td", { class: "n" }, whole(totals[one.name]?.requests ?? 0)),
    ]),
    "No request has come yet.",
  );
}

function store({ memory, redis, log }) {
  const tiers = [tier("Memory", memory, counted(memory.entries))];
  if (redis) tiers.push(tier("Redis", redis, redis.available ? null : "cannot be reached"));
  const nodes = log.nodes.length || 1;
  const trust = log.trusted ? "in step with the purge log" : "without news of the purge log";
  tiers.push(h("p", { class: log.trusted ? "hint" : "verdict bad" },
    `${nodes === 1 ? "1 process" : `${nodes} processes`}, ${trust}; last purge no. ${numbered(log.position)}`));
  show("store", ...tiers);
}

const counted = (entries) => (entries === 1 ? "1 entry" : `${whole(entries)} entries`);

function tier(name, { size, max_size, available }, note) {
  const bar = h("div", { class: "bar", role: "meter", "aria-label": `${name} in use`, "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round(max_size ? (100 * (size ?? 0)) / max_size : 0) });
  const part = h("span", { class: "dot revalidated" });
  part.style.width = max_size ? `${Math.min(100, (100 * (size ?? 0)) / max_size)}%` : "0";
  part.style.height = "100%";
  bar.append(part);
  const amount = size == null ? (available ? "size not known" : "–")
    : max_size ? `${joined(bytes(size))} of ${joined(bytes(max_size))}` : `${joined(bytes(size))}, no limit set`;
  return h("div", { class: "fill" }, h("span", {}, name), bar, h("span", {}, amount),
    note && h("span", { class: "hint fill-note" }, note));
}

function origins(groups) {
  rows(
    $("origins").tBodies[0],
    groups.flatMap((group) => group.origins.map((one) => [
      h("td", { class: "mono long", title: `${group.name ? `${group.name}: ` : ""}${one.url}` }, one.url),
      h("td", {}, h("span", { class: `tag ${one.state}`, title: one.cause || one.last_failure }, STATES[one.state] ?? one.state)),
      h("td", { class: "n" }, whole(one.in_flight)),
      h("td", { class: "n" }, whole(one.requests)),
      h("td", { class: "n" }, whole(one.failures)),
    ])),
    "Nothing is known of the origins.",
  );
}

function purges(found, now) {
  rows(
    $("purges").tBodies[0],
    found.slice(0, 8).map((one) => {
      const more = one.names > 3 ? ` and ${one.names - 3} more` : "";
      const nodes = one.acked.length + one.pending.length;
      const told = one.pending.length ? `Waiting for ${one.pending.join(", ")}` : `Applied by ${one.acked.join(", ")}`;
      return [
        h("td", { class: "n", title: String(one.seq) }, numbered(one.seq)),
        h("td", { class: "mono long", title: one.what + more }, one.what + more + (one.soft ? " (soft)" : "")),
        h("td", {}, h("span", { class: `tag ${one.pending.length ? "waiting" : "done"}`, title: told }, `${one.acked.length} of ${nodes}`)),
        h("td", { class: "n" }, ago(now - one.at)),
      ];
    }),
    "Nothing has been purged since the start.",
  );
}
