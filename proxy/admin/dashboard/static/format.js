// Numbers for people: [digits, unit], always of about the same width.

const NONE = ["–", ""];

export const whole = (number) => Math.round(number).toLocaleString("en-US");

export function rate(number) {
  if (number == null) return NONE;
  if (number >= 10000) return [(number / 1000).toFixed(1), "k/s"];
  return [number >= 100 ? number.toFixed(0) : number.toFixed(1), "/s"];
}

export const percent = (share) => (share == null ? NONE : [(share * 100).toFixed(1), "%"]);

export function seconds(number) {
  if (number == null) return NONE;
  if (number < 0.001) return ["< 1", "ms"];
  if (number < 1) return [number < 0.01 ? (number * 1000).toFixed(1) : (number * 1000).toFixed(0), "ms"];
  return [number < 10 ? number.toFixed(2) : number.toFixed(1), "s"];
}

export function bytes(number) {
  if (number == null) return NONE;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let step = 0;
  while (number >= 1024 && step < units.length - 1) {
    number /= 1024;
    step += 1;
  }
  return [step && number < 100 ? number.toFixed(1) : number.toFixed(0), units[step]];
}

export const joined = ([value, unit]) => (unit === "%" || !unit ? value + unit : `${value} ${unit}`);

export function ago(number) {
  if (number < 1) return "now";
  return `${span(number)} ago`;
}

export function span(number) {
  number = Math.max(0, Math.round(number));
  if (number < 60) return `${number} s`;
  if (number < 3600) return `${Math.floor(number / 60)} min`;
  if (number < 86400) return `${Math.floor(number / 3600)} h ${Math.floor((number % 3600) / 60)} min`;
  return `${Math.floor(number / 86400)} d ${Math.floor((number % 86400) / 3600)} h`;
}

export const counted = (number, one, many) =>
  number == null ? `an unknown number of ${many}` : `${whole(number)} ${number === 1 ? one : many}`;

// Numbers of a log in Redis are long, and only their ends differ.
export const numbered = (seq) => (seq < 1e9 ? String(seq) : `…${String(seq).slice(-6)}`);
