// Five minutes in three charts, drawn by uPlot.

import { $ } from "./dom.js";
import { joined, seconds } from "./format.js";

const SPAN = 300;
const LEAST = 60;

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function axes(format, size) {
  const common = () => ({
    stroke: colour("--dim"),
    font: "11px system-ui, sans-serif",
    grid: { stroke: colour("--faint"), width: 1 },
    ticks: { show: false },
  });
  return [
    { ...common(), space: 40, incrs: [60, 120, 300], size: 22, values: (_, ticks) => ticks.map(clock) },
    { ...common(), space: 26, size, gap: 4, values: (_, ticks) => ticks.map(format) },
  ];
}

const clock = (at) =>
  new Date(at * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });

const line = (name, filled) => ({
  stroke: () => colour(name),
  fill: filled ? () => `${colour(name)}1f` : undefined,
  width: 1.5,
  points: { show: false },
});

class Chart {
  constructor(id, { series, format, size, range, pick }) {
    this.box = $(id);
    this.pick = pick;
    this.options = () => ({
      ...this.extent(),
      padding: [6, 16, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 5 } },
      scales: { x: { time: true }, y: { range } },
      axes: axes(format, size),
      series: [{}, ...series],
      hooks: { setCursor: [(plot) => this.tell(plot, format)] },
    });
  }

  extent() {
    return { width: Math.max(this.box.clientWidth, 120), height: this.box.clientHeight };
  }

  draw(points) {
    const last = points.at(-1)?.at ?? Date.now() / 1000;
    const shown = points.filter((point) => point.at > last - SPAN);
    this.data = [shown.map((point) => point.at), ...this.pick.map((pick) => shown.map(pick))];
    if (!this.plot) this.plot = new uPlot(this.options(), this.data, this.box);
    else this.plot.setData(this.data, false);
    const first = Math.min(shown[0]?.at ?? last, last - LEAST);
    this.plot.setScale("x", { min: Math.max(first, last - SPAN), max: last });
  }

  redraw() {
    this.plot?.destroy();
    this.plot = null;
  }

  resize() {
    if (this.plot && this.box.clientWidth) this.plot.setSize(this.extent());
  }

  tell(plot, format) {
    const { idx } = plot.cursor;
    const values = idx == null ? [] : this.data.slice(1).map((column) => column[idx]);
    this.box.title = values.some((value) => value != null)
      ? `${new Date(this.data[0][idx] * 1000).toLocaleTimeString("en-GB")}  ${values.map((v) => (v == null ? "–" : format(v))).join(" · ")}`
      : "";
  }
}

const upwards = (_, __, high) => [0, Math.max(high || 0, 1) * 1.1];

export class Charts {
  constructor() {
    this.all = [
      new Chart("chart-rates", {
        series: [line("--accent", true), line("--second", true)],
        format: (value) => (value >= 1000 ? `${value / 1000}k` : String(+value.toFixed(1))),
        size: 38,
        range: upwards,
        pick: [(p) => p.requests, (p) => p.origin],
      }),
      new Chart("chart-ratio", {
        series: [line("--good", true)],
        format: (value) => `${Math.round(value * 100)} %`,
        size: 46,
        range: () => [0, 1.02],
        pick: [(p) => p.hit_ratio],
      }),
      new Chart("chart-times", {
        series: [line("--accent", false), line("--second", false)],
        format: (value) => (value ? joined(seconds(value)) : "0"),
        size: 52,
        range: (_, __, high) => [0, Math.max(high || 0, 0.01) * 1.1],
        pick: [(p) => p.durations.miss?.p95, (p) => p.durations.origin?.p95],
      }),
    ];
    new ResizeObserver(() => this.all.forEach((chart) => chart.resize())).observe($("overview"));
  }

  draw(points) {
    if (!$("overview").hidden) this.all.forEach((chart) => chart.draw(points));
  }

  // Colours are read when a chart is made.
  repaint(points) {
    this.all.forEach((chart) => chart.redraw());
    this.draw(points);
  }
}
