// The admin API, as far as the role of this session goes.

const { proof, role } = document.documentElement.dataset;

const RANK = { read: 1, purge: 2, admin: 3 };

export const may = (wanted) => RANK[role] >= RANK[wanted];

export class Refused extends Error {
  constructor(problem) {
    super(problem.detail || problem.title || "The request was refused.");
    this.faults = problem.errors || [];
  }
}

async function send(path, options) {
  let response;
  try {
    response = await fetch(path, { ...options, credentials: "same-origin" });
  } catch {
    throw new Refused({ detail: "The server cannot be reached." });
  }
  if (response.status === 401) {
    location.assign("/dashboard");
    throw new Refused({ detail: "The session has ended." });
  }
  const body = response.status === 204 ? null : await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused(body);
  return body;
}

// `query` is an object, or pairs where a name comes twice.
export const get = (path, query = {}) =>
  send(`/dashboard/api${path}?${new URLSearchParams(query)}`, { headers: { "X-Warmfront-Proof": proof } });

export const post = (path, body) =>
  send(`/dashboard/api${path}`, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Warmfront-Proof": proof },
    body: JSON.stringify(body),
  });

export async function logOut() {
  await send("/dashboard/logout", { method: "POST", headers: { "X-Warmfront-Proof": proof } });
  location.assign("/dashboard");
}

// Figures as they come. The browser reconnects by itself; whether the session still holds is asked.
export function follow({ history, figures, state }) {
  const source = new EventSource("/dashboard/events");
  source.addEventListener("open", () => state("live"));
  source.addEventListener("history", (event) => history(JSON.parse(event.data)));
  source.addEventListener("figures", (event) => figures(JSON.parse(event.data)));
  source.addEventListener("error", () => {
    state("lost");
    if (source.readyState === EventSource.CLOSED) {
      setTimeout(() => get("/stats").catch(() => {}).then(() => follow({ history, figures, state })), 3000);
    }
  });
  window.addEventListener("pagehide", () => source.close());
}
