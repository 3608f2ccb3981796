// The page: which view is shown, dark or light, and the figures that come in.

import { follow, logOut } from "./api.js";
import { Charts } from "./charts.js";
import { $, text } from "./dom.js";
import * as entries from "./entries.js";
import * as explain from "./explain.js";
import { render } from "./overview.js";
import * as purge from "./purge.js";

const KEPT = 300;
const VIEWS = ["overview", "purge", "explain", "entries"];
const STATES = { live: "Live", lost: "Reconnecting" };

const charts = new Charts();
let points = [];

function view() {
  const explains = document.documentElement.dataset.explains === "yes";
  const named = location.hash.slice(1);
  const wanted = VIEWS.includes(named) && (named !== "explain" || explains) ? named : "overview";
  for (const name of VIEWS) $(name).hidden = name !== wanted;
  for (const link of document.querySelectorAll("nav a")) {
    link.hidden = link.dataset.needs === "explain" && !explains;
    if (link.hash === `#${wanted}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${wanted[0].toUpperCase()}${wanted.slice(1)} · Warmfront`;
  charts.draw(points);
}

function switchTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try {
    localStorage.setItem("warmfront-theme", root.dataset.theme);
  } catch {
    // It holds for this page then.
  }
  charts.repaint(points);
}

follow({
  state: (state) => {
    $("state").dataset.state = state;
    text("state", STATES[state]);
  },
  history: (found) => {
    points = found;
    charts.draw(points);
  },
  figures: ([stats, rates]) => {
    if (rates && rates.at !== points.at(-1)?.at) points = [...points, rates].slice(-KEPT);
    render(stats, rates, entries.look);
    charts.draw(points);
  },
});

purge.start();
explain.start();
entries.start();
addEventListener("hashchange", view);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.repaint(points));
$("theme").addEventListener("click", switchTheme);
$("logout").addEventListener("click", () => logOut().catch((error) => text("state", error.message)));
view();
