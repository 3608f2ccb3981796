// Purging: first what would go, then the purge of just that.

import { may, post } from "./api.js";
import { $, h, show, text } from "./dom.js";
import { counted } from "./format.js";

const KINDS = {
  tags: ["Tags, one a line", "Exactly as responses carry them, upper and lower case."],
  urls: ["URLs, one a line", "Absolute; all variants, by http and https alike."],
  prefixes: ["Prefixes, one a line", "Whole segments of a path: /products, or //api.example/products on one host."],
  hosts: ["Hosts, one a line", "host or host:port."],
  pattern: ["Regular expression", "Searched for in the whole URL."],
  all: ["", "Everything that is stored, in all processes."],
};

let ready = null;

export function start() {
  const form = $("purge-form");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    preview();
  });
  form.addEventListener("input", changed);
  $("purge-now").addEventListener("click", purge);
  if (!may("purge")) {
    form.querySelectorAll("input, textarea, button").forEach((one) => (one.disabled = true));
    show("purge-result", h("p", { class: "verdict warn" }, "Your token only allows looking. One of role purge is needed."));
  }
  changed();
}

function kind() {
  return $("purge-form").elements.kind.value;
}

function changed() {
  const [label, help] = KINDS[kind()];
  text("purge-label", label);
  text("purge-help", help);
  $("purge-names").hidden = $("purge-label").hidden = kind() === "all";
  ready = null;
  $("purge-now").disabled = true;
  if (may("purge")) show("purge-result");
}

function order() {
  const names = $("purge-names").value.split("\n").map((name) => name.trim()).filter(Boolean);
  const soft = $("purge-soft").checked;
  if (kind() === "all") return { all: true, soft };
  if (kind() === "pattern") return { pattern: $("purge-names").value.trim(), soft };
  return { [kind()]: names, soft };
}

async function preview() {
  const wanted = order();
  try {
    const found = await post("/purge", { ...wanted, dry_run: true });
    ready = wanted;
    $("purge-now").disabled = false;
    show("purge-result",
      h("p", { class: "verdict" }, `This would ${wanted.soft ? "make stale" : "forget"} ${counted(found.entries, "entry", "entries")}.`),
      list(found.urls, found.complete), faults(found.refused));
  } catch (error) {
    failed(error);
  }
}

async function purge() {
  if (!ready) return;
  $("purge-now").disabled = true;
  try {
    const done = await post("/purge", ready);
    const all = done.acked >= done.nodes && !done.pending.length;
    show("purge-result",
      h("p", { class: `verdict ${all ? "good" : "warn"}` },
        all ? `Purge ${done.seq}: acknowledged by ${done.acked} of ${done.nodes}.`
          : `Recorded as no. ${done.seq}; ${done.acked} of ${done.nodes} have applied it so far.`),
      done.pending.length ? h("p", {}, `Still waiting for ${done.pending.join(", ")}.`) : null,
      faults(done.refused));
  } catch (error) {
    failed(error);
  }
  ready = null;
}

function list(urls, complete) {
  const items = urls.map((url) => h("li", { class: "mono" }, url));
  return h("ul", {}, ...items, ...(complete || !urls.length ? [] : [h("li", { class: "hint" }, "and perhaps more, which Redis alone knows")]));
}

export function faults(found = []) {
  return found.length
    ? h("ul", {}, ...found.map((fault) => h("li", {}, `${fault.where}: ${fault.what}. ${fault.how}.`)))
    : null;
}

function failed(error) {
  show("purge-result", h("p", { class: "verdict bad" }, error.message), faults(error.faults));
}

// From elsewhere: purge this.
export function propose(kindOfIt, name) {
  $("purge-form").elements.kind.value = kindOfIt;
  $("purge-names").value = name;
  changed();
  location.hash = "#purge";
}
