// Why a request is answered as it is: one to come, or one that was.

import { get, may } from "./api.js";
import { $, h, show } from "./dom.js";
import { faults } from "./purge.js";

const IS_URL = /^https?:\/\//i;

export function start() {
  $("explain-form").addEventListener("submit", (event) => {
    event.preventDefault();
    explain($("explain-url").value.trim());
  });
  $("explain-mode").hidden = !may("admin");
}

async function explain(wanted) {
  try {
    tell(IS_URL.test(wanted) ? await get("/explain", query(wanted)) : await get(`/explain/requests/${encodeURIComponent(wanted)}`));
  } catch (error) {
    show("explain-result", h("p", { class: "verdict bad" }, error.message), faults(error.faults));
  }
}

function query(url) {
  const fields = $("explain-fields").value.split("\n").filter((line) => line.trim());
  return [["url", url], ["mode", $("explain-form").elements.mode.value], ...fields.map((line) => ["header", line])];
}

// What would help comes first: it is what most people ask for.
function tell({ summary, words, advice }) {
  const others = words.filter(({ lines }) => !(advice.length && lines.join() === advice.join()));
  show("explain-result",
    h("p", { class: "verdict" }, summary),
    advice.length ? h("div", { class: "advice" }, ...advice.map((line) => h("p", {}, line))) : null,
    h("dl", { class: "facts wide" },
      ...others.flatMap(({ title, lines }) => [h("dt", {}, title), h("dd", {}, ...lines.map((line) => h("p", {}, line)))])));
}
