// Elements from text only: nothing that was stored or typed is ever read as HTML.

export const $ = (id) => document.getElementById(id);

export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "onclick") element.addEventListener("click", value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value != null) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

// Rows are replaced only where they differ, so that focus and selection survive a tick.
export function rows(body, items, empty) {
  const columns = body.closest("table").tHead.rows[0].cells.length;
  const wanted = items.length
    ? items.map((cells) => h("tr", {}, ...cells))
    : [h("tr", {}, h("td", { class: "empty", colspan: columns }, empty))];
  wanted.forEach((row, index) => {
    const now = body.rows[index];
    if (!now) body.append(row);
    else if (now.outerHTML !== row.outerHTML) now.replaceWith(row);
  });
  while (body.rows.length > wanted.length) body.lastElementChild.remove();
}

export function text(id, value) {
  const element = $(id);
  if (element.textContent !== value) element.textContent = value;
}

export function show(id, ...children) {
  $(id).replaceChildren(...children.filter((child) => child != null));
}

// A figure with its unit small beside it.
export function figure(id, [value, unit]) {
  const element = $(id);
  if (element.dataset.shown === value + unit) return;
  element.dataset.shown = value + unit;
  element.replaceChildren(value, ...(unit ? [h("small", {}, unit)] : []));
}
