// What is stored: all variants of a URL, or the tags that begin so.

import { get, may } from "./api.js";
import { $, h, show } from "./dom.js";
import { bytes, counted, joined, span, whole } from "./format.js";
import { faults, propose } from "./purge.js";

const IS_URL = /^https?:\/\//i;

export function start() {
  $("entries-form").addEventListener("submit", (event) => {
    event.preventDefault();
    look($("entries-query").value.trim());
  });
}

export async function look(query) {
  $("entries-query").value = query;
  location.hash = "#entries";
  try {
    if (IS_URL.test(query)) await variants(query);
    else await tags(query);
  } catch (error) {
    show("entries-result", h("p", { class: "verdict bad" }, error.message), faults(error.faults));
  }
}

async function variants(url) {
  const { entries } = await get("/entries", { url });
  show("entries-result",
    h("p", { class: "verdict" }, entries.length ? `${counted(entries.length, "variant is", "variants are")} stored.` : "Nothing is stored for this URL."),
    ...entries.map(entry));
}

function entry(one) {
  const varied = one.vary.map(([name, value]) => (value == null ? `without ${name}` : `${name}: ${value}`));
  const facts = [
    ["Status", String(one.status)],
    ["Freshness", `${one.ttl > 0 ? "fresh" : "stale"} for ${span(Math.abs(one.ttl))}, ${span(one.age)} old`],
    ["Lies in", `${one.tier}, ${joined(bytes(one.size))}`],
    ...(one.hits == null ? [] : [["Hits", whole(one.hits)]]),
    ...(varied.length ? [["For requests", varied.join("; ")]] : []),
    ...(one.groups.length ? [["Groups", one.groups.join(" ")]] : []),
  ];
  return h("div", { class: "entry" },
    h("h3", { class: "mono" }, one.url),
    h("dl", { class: "facts" }, ...facts.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]),
      ...(one.tags.length ? [h("dt", {}, "Tags"), h("dd", {}, ...one.tags.flatMap((tag) => [tagLink(tag), " "]))] : [])),
    h("details", {}, h("summary", {}, "Fields"), h("pre", {}, one.headers.map(([name, value]) => `${name}: ${value}`).join("\n"))),
    may("purge") ? h("p", { class: "buttons" }, h("button", { type: "button", onclick: () => propose("urls", one.url) }, "Purge this URL …")) : null,
  );
}

const tagLink = (tag) =>
  h("button", { type: "button", class: "link", onclick: () => carriers(tag).catch(() => {}) }, tag);

async function tags(prefix) {
  const found = await get("/tags", { prefix, limit: 200 });
  const items = found.tags.map((one) =>
    h("li", {}, tagLink(one.tag), h("span", { class: "hint" }, one.entries == null ? "" : ` ${counted(one.entries, "URL", "URLs")}`)));
  show("entries-result",
    h("p", { class: "verdict" }, items.length ? `${counted(items.length, "tag begins", "tags begin")} so${found.complete ? "" : ", and there are more"}.` : "No tag begins so."),
    h("ul", {}, ...items));
}

async function carriers(tag) {
  $("entries-query").value = tag;
  const found = await get(`/tags/${encodeURIComponent(tag)}`, { limit: 200 });
  show("entries-result",
    h("p", { class: "verdict" }, `Tag ${tag}: ${counted(found.entries, "entry", "entries")}.`),
    h("ul", {}, ...found.urls.map((url) => h("li", {}, h("button", { type: "button", class: "link", onclick: () => look(url) }, url)))),
    may("purge") ? h("p", { class: "buttons" }, h("button", { type: "button", onclick: () => propose("tags", tag) }, "Purge this tag …")) : null);
}
